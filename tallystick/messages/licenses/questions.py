"""Questions about licenses."""

from pydantic import Field, model_validator

from tallystick.messages.base import Customer, EntityId, Instant, Page, Question, Text, TolerantModel
from tallystick.messages.licenses.snapshots import LicenseFound, LicenseSnapshot
from tallystick.messages.licenses.types import (
    SERVICE,
    InstanceId,
    LicenseFeatures,
    LicenseKey,
    LicenseSeats,
    LicenseStatus,
    Validity,
)


class LicensePage(TolerantModel):
    """Page of licenses, newest first."""

    items: list[LicenseSnapshot]
    next_cursor: str | None = None


class LicenseValidity(TolerantModel):
    """What a license is worth for one machine now."""

    status: Validity
    until: Instant | None = Field(description="Time until which this holds as far as is known; null: open.")
    seats: LicenseSeats | None
    features: LicenseFeatures


class GetLicense(Question[LicenseFound], service=SERVICE, rejections=("not_found", "license_key_invalid")):
    """Get a license. For a subscription: the one that has not ended, else the newest."""

    license_id: EntityId | None = None
    license_key: LicenseKey | None = None
    subscription_id: EntityId | None = None

    @model_validator(mode="after")
    def _require_one(self) -> "GetLicense":
        if [self.license_id, self.license_key, self.subscription_id].count(None) != 2:
            raise ValueError("give one of license_id, license_key and subscription_id")
        return self


class ListLicenses(Page, Question[LicensePage], service=SERVICE):
    """List licenses, newest first."""

    customer: Customer | None = None
    status: LicenseStatus | None = None
    search: Text | None = Field(
        default=None, description="License id, subscription id, customer id, product, instance or key hint."
    )


class ValidateLicense(Question[LicenseValidity], service=SERVICE, rejections=("license_key_invalid",)):
    """Check a license online, without a new file."""

    license_key: LicenseKey
    instance_id: InstanceId
