"""Whether a Stripe event is to be applied, ignored, or settled by asking Stripe.

Stripe sends events late, twice and in any order, and stamps them in whole seconds, so that two states of one
object often share a moment. None of that may show.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

_RANKS = {"created": 0, "deleted": 2}
_OTHER_RANK = 1
"""In one second, an object is first created, then changed, then deleted."""


class EventAction(Enum):
    """What to do with an event."""

    APPLY = "apply"
    IGNORE = "ignore"
    FETCH = "fetch"


@dataclass(frozen=True, slots=True)
class AppliedState:
    """What we know an object's present state from."""

    is_final: bool
    event_id: str | None
    """The newest event that was taken into account."""
    event_at: datetime | None
    event_rank: int
    """The highest of those of its second."""
    is_ahead: bool
    """Whether the state came from Stripe itself and so may be newer than any event that has arrived."""


@dataclass(frozen=True, slots=True)
class ArrivedEvent:
    """An event, as far as its place in the order of things goes."""

    event_id: str
    event_at: datetime
    rank: int
    is_final: bool
    """Whether the state it tells is one that nothing comes after."""
    is_same: bool
    """Whether it tells the state that we have already."""


def rank_of(event_type: str) -> int:
    """Where events of a type stand among those of the same second."""
    return _RANKS.get(event_type.rpartition(".")[2], _OTHER_RANK)


def choose_action(seen: AppliedState | None, arrived: ArrivedEvent) -> EventAction:
    """What to do with an event about an object, of which `seen` is None when it is new to us."""
    if seen is None:
        return EventAction.APPLY
    if seen.is_final or arrived.event_id == seen.event_id:
        return EventAction.IGNORE
    if arrived.is_final:
        # However late it comes: an end is never followed by anything.
        return EventAction.APPLY
    if seen.event_at is not None and arrived.event_at < seen.event_at:
        return EventAction.IGNORE
    if arrived.is_same:
        return EventAction.APPLY
    if seen.is_ahead or arrived.event_at == seen.event_at:
        return EventAction.FETCH
    return EventAction.APPLY


def remains_ahead(seen: AppliedState | None, arrived: ArrivedEvent) -> bool:
    """Whether a state from Stripe itself may still be newer than any event, once this one was applied.

    A later one that tells the same state is taken for the one that made it so. One of the same second may be
    older and only look alike.
    """
    if seen is None or not seen.is_ahead or not arrived.is_same:
        return False
    return arrived.event_at == seen.event_at and arrived.rank <= seen.event_rank


def choose_action_without_stripe(seen: AppliedState, arrived: ArrivedEvent) -> EventAction:
    """The same where Stripe was to be asked but does not have the object (any more)."""
    verdict = choose_action(seen, arrived)
    if verdict is not EventAction.FETCH:
        return verdict
    is_tie = arrived.event_at == seen.event_at
    return EventAction.IGNORE if is_tie and arrived.rank < seen.event_rank else EventAction.APPLY
