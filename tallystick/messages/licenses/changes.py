"""Commands on a license: issue, seats, key, suspension, end."""

from pydantic import Field

from tallystick.messages.base import Code, Command, Customer, EntityId, Instant, Text, TolerantModel
from tallystick.messages.licenses.snapshots import LicenseFound, LicenseSnapshot
from tallystick.messages.licenses.types import SERVICE, Instances, LicenseFeatures, LicenseSeats
from tallystick.messages.subscriptions.changes import PRORATION, WHEN
from tallystick.messages.subscriptions.types import Proration, When


class LicenseIssued(TolerantModel):
    """License with its key. The key is shown here and never again."""

    license: LicenseSnapshot
    license_key: str


class LicenseChanged(TolerantModel):
    """License after a change; with its new key if it got one."""

    license: LicenseSnapshot
    license_key: str | None = Field(default=None, description="New key, shown here and never again.")


class IssueLicense(Command[LicenseIssued], service=SERVICE, rejections=("unknown_product",)):
    """Issue a license that follows no subscription."""

    customer: Customer
    product: Code
    seats: LicenseSeats | None = Field(default=None, description="Absent: not limited.")
    expires_at: Instant | None = Field(default=None, description="Absent: it does not end.")
    features: LicenseFeatures | None = Field(default=None, description="Absent: those of the product.")
    instances: Instances | None = Field(
        default=None, description="Machines at a time; absent: as the product says, else 1."
    )


class ChangeLicenseSeats(
    Command[LicenseFound],
    service=SERVICE,
    rejections=(
        "seats_in_use",
        "quantity_out_of_range",
        "license_ended",
        "subscription_not_active",
        "unknown_price",
        "payment_failed",
    ),
):
    """Change the number of seats; through the subscription where there is one.

    Rejected with `seats_in_use` if the machines report more members than that.
    """

    license_id: EntityId
    seats: LicenseSeats
    when: When | None = Field(default=None, description=WHEN)
    proration: Proration = Field(default="prorate", description=PRORATION)


class ShowLicenseKey(
    Command[LicenseIssued], service=SERVICE, rejections=("license_key_shown", "license_ended")
):
    """Show the key of a license that came with a subscription; once."""

    license_id: EntityId


class RotateLicenseKey(Command[LicenseChanged], service=SERVICE, rejections=("license_ended",)):
    """Replace the key; the old one is invalid at once. Activated machines stay activated."""

    license_id: EntityId
    reason: Text | None = None


class SuspendLicense(Command[LicenseChanged], service=SERVICE, rejections=("license_ended",)):
    """Suspend a license until it is restored; again: the same result."""

    license_id: EntityId
    reason: Text | None = None


class RestoreLicense(Command[LicenseChanged], service=SERVICE, rejections=("license_ended",)):
    """End a suspension. A license whose subscription is suspended stays so until that recovers."""

    license_id: EntityId
    reason: Text | None = None


class RevokeLicense(Command[LicenseChanged], service=SERVICE, rejections=("license_ended",)):
    """Revoke a license for good; again: the same result."""

    license_id: EntityId
    reason: Text | None = None
