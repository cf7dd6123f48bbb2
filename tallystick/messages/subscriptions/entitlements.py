"""What a customer may use, and why."""

from pydantic import Field

from tallystick.messages.base import (
    Code,
    Count,
    Customer,
    EntityId,
    Event,
    Instant,
    Page,
    PositiveCount,
    Question,
    Told,
)
from tallystick.messages.subscriptions.types import SERVICE, Through


class EntitlementSource(Told):
    """Where an entitlement comes from."""

    subscription_id: EntityId | None = Field(description="Null for an override.")
    product: Code | None
    through: Through


class Allowance(Told):
    """The answer to `check_entitlement`: whether, how much, why and until when."""

    allowed: bool
    quantity: Count | None = Field(description="Null: unlimited, and for flags.")
    sources: list[EntitlementSource]
    expires_at: Instant | None = Field(description="When it is certain to end; null: no end is known.")


class EntitlementSnapshot(Allowance):
    """What one customer may use of one feature."""

    entitlement_id: str = Field(description="Its key in the bucket: `organization_acme.audio_transcription`.")
    version: PositiveCount
    customer: Customer
    feature: Code


class BucketEntry(Allowance):
    """The value of a key in the bucket `billing_entitlements`."""

    version: PositiveCount


class EntitlementPage(Told):
    """A page of entitlements, by feature."""

    items: list[EntitlementSnapshot]
    next_cursor: str | None = None


class CheckEntitlement(Question[Allowance], service=SERVICE):
    """Whether a customer may use a feature. Never refused: what nobody sold is not allowed."""

    customer: Customer
    feature: Code


class ListEntitlements(Page, Question[EntitlementPage], service=SERVICE):
    """All that a customer may use, by feature."""

    customer: Customer


class EntitlementEvent(Event, service=SERVICE, entity="entitlement", names=("changed",)):
    """What a customer may use of a feature changed; `allowed` false: nothing gives it any more."""

    entitlement: EntitlementSnapshot
