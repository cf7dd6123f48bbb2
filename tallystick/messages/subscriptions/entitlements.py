"""Entitlements: what a customer may use, and the sources of it."""

from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

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


class UpcomingAllowance(TolerantModel):
    """What is allowed from a time on, when one of several sources ends then."""

    at: Instant
    allowed: bool
    quantity: Count | None = Field(description="Granted units; null: unlimited, or a flag.")
    sources: list[EntitlementSource]
    expires_at: Instant | None = Field(description="Known end; null: no end is known.")


class Allowance(TolerantModel):
    """Answer to `check_entitlement`.

    Time ends it, not a later message: whoever stores it obeys `expires_at` and `upcoming`.
    """

    allowed: bool
    quantity: Count | None = Field(description="Granted units; null: unlimited, or a flag.")
    sources: list[EntitlementSource]
    expires_at: Instant | None = Field(description="Known end of the entitlement; null: no end is known.")
    upcoming: list[UpcomingAllowance] = Field(
        default=[],
        description="What replaces this before it ends, earliest first; absent if nothing is known ahead.",
    )

    # Without a return type, so that the published schemas remain those of the fields.
    @model_serializer(mode="wrap")
    def _without_empty_upcoming(self, serialize: SerializerFunctionWrapHandler):  # type: ignore[no-untyped-def]
        fields: dict[str, Any] = serialize(self)
        if not self.upcoming:
            del fields["upcoming"]
        return fields


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
