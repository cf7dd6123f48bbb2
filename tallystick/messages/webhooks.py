"""The language of `webhooks`: Stripe's events as they came in, and what became of each."""

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
    Told,
)

SERVICE = "webhooks"
REPLAY_MAX_EVENTS = 500
"""How many event ids one replay may name; a longer list is a time range."""

EventType = Annotated[str, Field(pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+){1,7}$", max_length=120)]
"""A Stripe event type, `customer.subscription.updated`; it becomes part of a subject."""
StoredEventStatus = Literal["received", "applied", "failed", "ignored"]

APPLIED_EVENT_TYPES = frozenset(
    {
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
        "invoice.created",
        "invoice.deleted",
        "invoice.finalized",
        "invoice.updated",
        "invoice.paid",
        "invoice.payment_failed",
        "invoice.voided",
        "invoice.marked_uncollectible",
    }
)
"""The Stripe event types that some service acts on; all others are stored as `ignored`."""


class StoredEvent(Told):
    """A Stripe event as stored, and what became of it."""

    event_id: str = Field(description="Stripe's id, `evt_…`.")
    type: str = Field(description="Stripe's event type.")
    status: StoredEventStatus = Field(description="`received` until a service has reported on it.")
    created_at: Instant = Field(description="When Stripe says it happened.")
    received_at: Instant = Field(description="When it was stored here.")
    attempts: Count = Field(description="How often a service has tried to apply it.")
    last_error: str | None = Field(description="Why the last attempt failed, or what the event waits for.")


class StoredEventWithPayload(StoredEvent):
    """A stored event together with the payload as Stripe sent it."""

    payload: dict[str, JsonValue] = Field(description="As Stripe sent it.")


class EventFound(Told):
    """The answer to `get_event`."""

    event: StoredEventWithPayload


class EventPage(Told):
    """A page of stored events, newest first."""

    items: list[StoredEvent]
    next_cursor: str | None = None


class ReplayResult(Told):
    """How many stored events were published again."""

    replayed: Count


class ReconcileResult(Told):
    """What a comparison with Stripe's own list of events found."""

    listed: Count = Field(description="Events that Stripe listed.")
    ingested: Count = Field(description="Of these, the ones that had never arrived.")


class OutcomeRecorded(Told):
    """What a stored event's status is now."""

    event_id: str
    status: StoredEventStatus


class Replay(Command[ReplayResult], service=SERVICE, rejections=("not_found",)):
    """Publish stored events again: the ones named, or those received in a span of time."""

    event_ids: Annotated[list[StripeId], Field(min_length=1, max_length=REPLAY_MAX_EVENTS)] | None = Field(
        default=None, description="Which events; all must be stored."
    )
    since: Instant | None = Field(default=None, description="Received at or after.")
    until: Instant | None = Field(default=None, description="Received before.")
    types: Annotated[list[EventType], Field(min_length=1, max_length=100)] | None = Field(
        default=None, description="Only these types, with `since` and `until`."
    )

    @model_validator(mode="after")
    def _ids_or_span(self) -> "Replay":
        span = self.since is not None and self.until is not None
        if (self.event_ids is not None) == span or (self.event_ids is not None and self.types is not None):
            raise ValueError("give either event_ids, or since and until (and types)")
        return self


class Reconcile(Command[ReconcileResult], service=SERVICE, rejections=("payments_not_configured",)):
    """List Stripe's events since a moment and take in those that never arrived."""

    since: Instant = Field(description="How far back; Stripe lists events for 30 days.")


class RecordOutcome(Command[OutcomeRecorded], service=SERVICE, rejections=("not_found",)):
    """A service's report on how it went with a stored event. For Tallystick's own services."""

    event_id: StripeId
    status: StoredEventStatus
    attempt: Annotated[int, Field(ge=1, le=1000)] = Field(description="Which try this was, from 1.")
    error: Text | None = Field(default=None, description="Why it failed, or what it waits for.")


class GetEvent(Question[EventFound], service=SERVICE, rejections=("not_found",)):
    """One stored event with its payload."""

    event_id: StripeId


class ListEvents(Page, Question[EventPage], service=SERVICE):
    """Stored events, newest first."""

    type: EventType | None = None
    status: StoredEventStatus | None = None
    since: Instant | None = Field(default=None, description="Received at or after.")
