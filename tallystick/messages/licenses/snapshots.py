"""Snapshots and events of licenses. None of them contains a license key or a license file."""

from pydantic import Field

from tallystick.messages.base import Code, Customer, EntityId, Event, Instant, PositiveCount, TolerantModel
from tallystick.messages.licenses.types import (
    SERVICE,
    InstanceId,
    Instances,
    LicenseFeatures,
    LicenseSeats,
    LicenseStatus,
    Members,
)


class ActivationSnapshot(TolerantModel):
    """Machine on which a license is activated."""

    instance_id: InstanceId
    name: str | None
    version: str | None = Field(description="Version of the licensed product that runs there.")
    activated_at: Instant
    refreshed_at: Instant = Field(
        description="Last refresh. A refresh alone emits no event, so in an event this may be an earlier one."
    )
    members: Members | None = Field(description="Seats in use there, as reported; null: not reported.")
    not_after: Instant = Field(description="End of the license file issued last.")
    grace_until: Instant = Field(description="Time until which that file lets the product run.")


class LicenseSnapshot(TolerantModel):
    """Snapshot of a license."""

    license_id: EntityId
    version: PositiveCount
    customer: Customer
    subscription_id: EntityId | None = Field(description="Subscription it follows; null: issued by hand.")
    product: Code
    status: LicenseStatus
    seats: LicenseSeats | None = Field(description="Seats; null: not limited.")
    features: LicenseFeatures
    instances: Instances = Field(description="Machines that may be activated at a time.")
    activations: list[ActivationSnapshot] = Field(description="Activated machines, the oldest first.")
    grace_days: int
    offline_days: int
    expires_at: Instant | None = Field(description="Time at which it is set to end; null: it goes on.")
    suspended: bool = Field(description="No file is issued, by an operator's word or the subscription's.")
    key_hint: str = Field(description="Last characters of the license key.")
    key_number: PositiveCount = Field(description="How many keys it has had; only the last one is good.")
    key_shown: bool = Field(description="Whether the key has been shown; nobody can see it again then.")
    reason: str | None = Field(description="Reason of the last change by an operator.")
    issued_at: Instant
    ended_at: Instant | None


class LicenseFound(TolerantModel):
    """License after the command, or as queried."""

    license: LicenseSnapshot


class LicenseEvent(
    Event,
    service=SERVICE,
    entity="license",
    names=(
        "issued",
        "activated",
        "deactivated",
        "changed",
        "suspended",
        "restored",
        "expiring",
        "expired",
        "revoked",
    ),
):
    """A license changed; `expiring` is told 14, 7 and 1 days before the end."""

    license: LicenseSnapshot
