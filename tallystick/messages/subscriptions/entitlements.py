"""Entitlements: what a customer may use, and the sources of it."""

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
    TolerantModel,
)
from tallystick.messages.subscriptions.types import SERVICE, Through


class EntitlementSource(TolerantModel):
    """Source of an entitlement."""

    subscription_id: EntityId | None = Field(description="Subscription; null for an override.")
    product: Code | None
    through: Through


class Allowance(TolerantModel):
    """Answer to `check_entitlement`."""

    allowed: bool
    quantity: Count | None = Field(description="Granted units; null: unlimited, or a flag.")
    sources: list[EntitlementSource]
    expires_at: Instant | None = Field(description="Known end of the entitlement; null: no end is known.")


class EntitlementSnapshot(Allowance):
    """Snapshot of a customer's entitlement to a feature."""

    entitlement_id: str = Field(
        description="Key in the bucket, such as `organization_acme.audio_transcription`."
    )
    version: PositiveCount
    customer: Customer
    feature: Code


class BucketEntry(Allowance):
    """Value of a key in the bucket `billing_entitlements`."""

    version: PositiveCount


class EntitlementPage(TolerantModel):
    """Page of entitlements, by feature."""

    items: list[EntitlementSnapshot]
    next_cursor: str | None = None


class CheckEntitlement(Question[Allowance], service=SERVICE):
    """Check whether a customer may use a feature. Never rejected: an unknown feature is not allowed."""

    customer: Customer
    feature: Code


class ListEntitlements(Page, Question[EntitlementPage], service=SERVICE):
    """List everything a customer may use, by feature."""

    customer: Customer


class EntitlementEvent(Event, service=SERVICE, entity="entitlement", names=("changed",)):
    """An entitlement changed; `allowed` false: nothing grants the feature any more."""

    entitlement: EntitlementSnapshot
