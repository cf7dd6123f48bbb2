"""Deciding whether a Stripe event is applied, ignored, or settled by fetching the object from Stripe.

Stripe delivers events late, twice and in any order, and their time stamps have whole seconds only, so that
two states of one object often share a time stamp.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

_RANKS = {"created": 0, "deleted": 2}
_OTHER_RANK = 1
"""Within one second, an object is first created, then changed, then deleted."""


class EventAction(Enum):
    """What to do with an event."""

    APPLY = "apply"
    IGNORE = "ignore"
    FETCH = "fetch"


@dataclass(frozen=True, slots=True)
class AppliedState:
    """The event that the stored state of an object comes from."""

    is_final: bool
    event_id: str | None
    """The newest applied event."""
    event_at: datetime | None
    event_rank: int
    """The highest rank of the applied events of that second."""
    is_outbox_ahead: bool
    """Whether the state was fetched from Stripe and so may be newer than any event received."""


@dataclass(frozen=True, slots=True)
class ArrivedEvent:
    """An event, as far as its ordering matters."""

    event_id: str
    event_at: datetime
    rank: int
    is_final: bool
    """Whether the event's state is final."""
    is_same: bool
    """Whether the event's state equals the stored state."""


def rank_of(event_type: str) -> int:
    """Return the rank of an event type among events of the same second."""
    return _RANKS.get(event_type.rpartition(".")[2], _OTHER_RANK)


def choose_action(seen: AppliedState | None, arrived: ArrivedEvent) -> EventAction:
    """Decide what to do with an event about an object; `seen` is None for a new object."""
    if seen is None:
        return EventAction.APPLY
    if seen.is_final or arrived.event_id == seen.event_id:
        return EventAction.IGNORE
    if arrived.is_final:
        # A final state is never followed by another, however late the event arrives.
        return EventAction.APPLY
    if seen.event_at is not None and arrived.event_at < seen.event_at:
        return EventAction.IGNORE
    if arrived.is_same:
        return EventAction.APPLY
    if seen.is_outbox_ahead or arrived.event_at == seen.event_at:
        return EventAction.FETCH
    return EventAction.APPLY


def remains_ahead(seen: AppliedState | None, arrived: ArrivedEvent) -> bool:
    """Whether the stored state may still be newer than any event after this one was applied.

    A later event with the same state is taken for the one that led to it. An event of the same second may be
    older and have the same state by chance.
    """
    if seen is None or not seen.is_outbox_ahead or not arrived.is_same:
        return False
    return arrived.event_at == seen.event_at and arrived.rank <= seen.event_rank


def choose_action_without_stripe(seen: AppliedState, arrived: ArrivedEvent) -> EventAction:
    """Decide as `choose_action` does when Stripe does not have the object any more."""
    verdict = choose_action(seen, arrived)
    if verdict is not EventAction.FETCH:
        return verdict
    is_tie = arrived.event_at == seen.event_at
    return EventAction.IGNORE if is_tie and arrived.rank < seen.event_rank else EventAction.APPLY
