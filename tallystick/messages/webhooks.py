"""Messages of `webhooks`: stored Stripe events and their processing status."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, JsonValue, model_validator

from tallystick.messages.base import (
    Command,
    Count,
    Instant,
    Page,
    Question,
    StripeId,
    Text,
    TolerantModel,
)

SERVICE = "webhooks"
REPLAY_MAX_EVENTS = 500
"""Limit of event ids in one replay; use a time range for more."""
REPORTED_ATTEMPTS_MAX = 1000
REPORTED_ERROR_MAX_CHARACTERS = 500

EventType = Annotated[str, Field(pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+){1,7}$", max_length=120)]
"""Stripe event type, such as `customer.subscription.updated`; part of a subject."""
StoredEventStatus = Literal["received", "applied", "failed", "ignored"]

CONNECT_EVENT_TYPES = frozenset(
    {
        "account.updated",
        "account.application.deauthorized",
        "payout.created",
        "payout.updated",
        "payout.paid",
        "payout.failed",
        "payout.canceled",
        "transfer.created",
        "transfer.updated",
        "transfer.reversed",
    }
)
"""Stripe event types that `payouts` applies: of connected accounts, and of transfers to them."""
APPLIED_EVENT_TYPES = CONNECT_EVENT_TYPES | frozenset(
    {
        "charge.dispute.closed",
        "charge.dispute.created",
        "charge.dispute.funds_reinstated",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.updated",
        "charge.refund.updated",
        "charge.refunded",
        "checkout.session.completed",
        "checkout.session.expired",
        "customer.subscription.created",
        "customer.subscription.updated",
        "customer.subscription.deleted",
        "customer.subscription.paused",
        "customer.subscription.resumed",
        "customer.subscription.trial_will_end",
        "customer.updated",
        "customer.deleted",
        "credit_note.created",
        "credit_note.updated",
        "credit_note.voided",
        "invoice.created",
        "invoice.deleted",
        "invoice.finalized",
        "invoice.updated",
        "invoice.paid",
        "invoice.payment_action_required",
        "invoice.payment_failed",
        "invoice.voided",
        "invoice.marked_uncollectible",
        "refund.created",
        "refund.failed",
        "refund.updated",
        "subscription_schedule.aborted",
        "subscription_schedule.canceled",
        "subscription_schedule.completed",
        "subscription_schedule.created",
        "subscription_schedule.released",
        "subscription_schedule.updated",
    }
)
"""Stripe event types that a service applies; all others are stored as `ignored`."""


class StoredEvent(TolerantModel):
    """Stored Stripe event with its processing status."""

    event_id: str = Field(description="Stripe event id, `evt_…`.")
    type: str = Field(description="Stripe event type.")
    status: StoredEventStatus = Field(description="`received` until a service reports an outcome.")
    created_at: Instant = Field(description="Time of the event according to Stripe.")
    received_at: Instant = Field(description="Time at which it was stored.")
    attempts: Count = Field(description="Number of attempts to apply it.")
    last_error: str | None = Field(description="Error of the last attempt, or what the event is waiting for.")


class StoredEventWithPayload(StoredEvent):
    """Stored event with its payload."""

    payload: dict[str, JsonValue] = Field(description="Payload as sent by Stripe.")


class EventFound(TolerantModel):
    """Answer to `get_event`."""

    event: StoredEventWithPayload


class EventPage(TolerantModel):
    """Page of stored events, newest first."""

    items: list[StoredEvent]
    next_cursor: str | None = None


class ReplayResult(TolerantModel):
    """Result of a replay."""

    replayed: Count = Field(description="Number of events published again.")


class ReconcileResult(TolerantModel):
    """Result of a comparison with the events listed by Stripe."""

    listed: Count = Field(description="Number of events listed by Stripe.")
    ingested: Count = Field(description="Number of these that had not been received before.")


class OutcomeRecorded(TolerantModel):
    """New status of a stored event."""

    event_id: str
    status: StoredEventStatus


class Replay(Command[ReplayResult], service=SERVICE, rejections=("not_found",)):
    """Publish stored events again: the named ones, or those received in a time range."""

    event_ids: Annotated[list[StripeId], Field(min_length=1, max_length=REPLAY_MAX_EVENTS)] | None = Field(
        default=None, description="Event ids; all must be stored."
    )
    since: Instant | None = Field(default=None, description="Events received at or after this time.")
    until: Instant | None = Field(default=None, description="Events received before this time.")
    types: Annotated[list[EventType], Field(min_length=1, max_length=100)] | None = Field(
        default=None, description="Only events of these types; with `since` and `until`."
    )

    @model_validator(mode="after")
    def _ids_or_span(self) -> "Replay":
        span = self.since is not None and self.until is not None
        if (self.event_ids is not None) == span or (self.event_ids is not None and self.types is not None):
            raise ValueError("give either event_ids, or since and until (and types)")
        return self


class Reconcile(Command[ReconcileResult], service=SERVICE, rejections=("payments_not_configured",)):
    """List Stripe's events since a time and store those that were never received."""

    since: Instant = Field(description="Start of the comparison; Stripe lists events for 30 days.")


class RecordOutcome(Command[OutcomeRecorded], service=SERVICE, rejections=("not_found",)):
    """Record the outcome of processing a stored event. For Tallystick's own services."""

    event_id: StripeId
    status: StoredEventStatus
    attempt: Annotated[int, Field(ge=1, le=REPORTED_ATTEMPTS_MAX)] = Field(
        description="Attempt number, from 1."
    )
    error: Text | None = Field(default=None, description="Error, or what the event is waiting for.")

    @classmethod
    def of_delivery(
        cls,
        event_id: str,
        published_at: datetime,
        attempt: int,
        status: StoredEventStatus,
        error: str | None = None,
    ) -> "RecordOutcome":
        """Report one delivery of an event; `error` may be any text.

        Its id is unique for each delivery, also when a replay starts counting deliveries from 1 again.
        """
        published = int(published_at.timestamp() * 1_000_000)
        return cls(
            command_id=f"{event_id[:80]}.{published}.{attempt}",
            event_id=event_id,
            status=status,
            attempt=min(attempt, REPORTED_ATTEMPTS_MAX),
            error=error.replace("\x00", "")[:REPORTED_ERROR_MAX_CHARACTERS] if error is not None else None,
        )


class GetEvent(Question[EventFound], service=SERVICE, rejections=("not_found",)):
    """Get a stored event with its payload."""

    event_id: StripeId


class ListEvents(Page, Question[EventPage], service=SERVICE):
    """List stored events, newest first."""

    type: EventType | None = None
    status: StoredEventStatus | None = None
    since: Instant | None = Field(default=None, description="Events received at or after this time.")
