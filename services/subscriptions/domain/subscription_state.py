"""The state of a subscription, and the events between two states."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from tallystick.messages.subscriptions import (
    CHANGEABLE_STATUSES,
    FINAL_STATUSES,
    Collection,
    ScheduledChange,
    Status,
    SubscriptionItem,
)

OVERDUE_STATUSES: frozenset[Status] = frozenset({"past_due", "unpaid"})
"""Statuses with an unpaid invoice: still being collected, or given up."""
_EVENTS_BY_ORIGIN: dict[Status, dict[Status, str]] = {
    "active": {
        "incomplete": "activated",
        "trialing": "activated",
        "past_due": "recovered",
        "unpaid": "recovered",
        "paused": "resumed",
    },
    "trialing": {"paused": "resumed", "past_due": "recovered", "unpaid": "recovered"},
}
"""Events by the new and the previous status."""
_ACTIVATED: tuple[str, Status] = ("activated", "active")
_PAST_DUE: tuple[str, Status] = ("pastDue", "past_due")
_INTERMEDIATE_EVENTS: dict[tuple[Status, Status], tuple[tuple[str, Status], ...]] = {
    ("incomplete", "past_due"): (_ACTIVATED,),
    ("trialing", "past_due"): (_ACTIVATED,),
    ("incomplete", "unpaid"): (_ACTIVATED, _PAST_DUE),
    ("trialing", "unpaid"): (_ACTIVATED, _PAST_DUE),
    ("active", "unpaid"): (_PAST_DUE,),
}
"""Events and statuses that lie between two statuses and are emitted even if no webhook showed them."""
_EVENTS_BY_STATUS: dict[Status, str] = {
    "trialing": "trialStarted",
    "past_due": "pastDue",
    "paused": "paused",
    "canceled": "canceled",
    "expired": "expired",
}


@dataclass(frozen=True, slots=True)
class State:
    """The part of a subscription that can change."""

    status: Status
    collection: Collection
    items: tuple[SubscriptionItem, ...]
    current_period_start: datetime | None
    current_period_end: datetime | None
    trial_end: datetime | None = None
    cancel_at_period_end: bool = False
    """Whether it ends in this period, so that no other one follows."""
    cancel_at: datetime | None = None
    """The date, other than the end of the period, on which it is set to end; Stripe alone has such dates."""
    canceled_at: datetime | None = None
    ended_at: datetime | None = None
    grace_until: datetime | None = None
    restricted: bool = False
    """Whether the grace period is over: nothing is granted until the customer pays."""
    scheduled_change: ScheduledChange | None = None

    @property
    def is_final(self) -> bool:
        """Whether it has ended."""
        return self.status in FINAL_STATUSES

    @property
    def is_canceling(self) -> bool:
        """Whether it is set to end, in this period or in a later one."""
        return self.cancel_at_period_end or self.cancel_at is not None

    @property
    def ends_at(self) -> datetime | None:
        """When it is set to end; None if it goes on."""
        return self.cancel_at or (self.current_period_end if self.cancel_at_period_end else None)

    @property
    def products(self) -> frozenset[str]:
        """The codes of the products it is for."""
        return frozenset(item.product for item in self.items if item.product is not None)


@dataclass(frozen=True, slots=True)
class Change:
    """An event to emit, and the state as of that event."""

    event: str
    state: State


def changes(before: State | None, after: State) -> list[Change]:
    """Return the events that lead from one state to another, in order; none if equal or already ended.

    Every subscription starts as `incomplete`: one that is first seen in a later state gets its `created`
    event and then the events that lead to that state.
    """
    if before is None:
        start = replace(
            after,
            status="incomplete",
            cancel_at_period_end=False,
            cancel_at=None,
            canceled_at=None,
            ended_at=None,
            grace_until=None,
            restricted=False,
        )
        return [Change("created", start), *changes(start, after)]
    if before.is_final:
        return []
    return list(_steps(before, with_kept_grace(before, with_kept_terms(before, after))))


def with_kept_grace(before: State, after: State) -> State:
    """Return the later state with the grace period given earlier, as long as it is overdue."""
    if after.status not in OVERDUE_STATUSES:
        return replace(after, grace_until=None, restricted=False)
    if after.grace_until is not None or before.status not in OVERDUE_STATUSES:
        return after
    return replace(after, grace_until=before.grace_until, restricted=before.restricted)


def with_kept_terms(before: State, after: State) -> State:
    """Return the later state with the features that its items were sold with.

    Changes of the catalog take effect when an item is bought and when its period renews, so that nothing is
    taken away in the middle of a period.
    """
    if before.current_period_start != after.current_period_start:
        return after
    terms = {(item.product, item.price): item for item in before.items}
    items = (
        item.model_copy(update={"features": kept.features, "seats": kept.seats, "license": kept.license})
        if (kept := terms.get((item.product, item.price))) and item.product is not None
        else item
        for item in after.items
    )
    return replace(after, items=tuple(items))


def _steps(before: State, after: State) -> Iterator[Change]:
    purchase = _purchase_steps(before, after)
    yield from purchase
    current = purchase[-1].state if purchase else before
    for event, status in _INTERMEDIATE_EVENTS.get((before.status, after.status), ()):
        current = replace(
            current,
            status=status,
            current_period_start=after.current_period_start,
            current_period_end=after.current_period_end,
        )
        yield Change(event, current)
    if current.status != after.status:
        cancellation = after if after.is_final else current
        current = replace(
            after,
            cancel_at_period_end=cancellation.cancel_at_period_end,
            cancel_at=cancellation.cancel_at,
            canceled_at=cancellation.canceled_at,
            scheduled_change=current.scheduled_change if after.scheduled_change is not None else None,
        )
        yield Change(_status_event(before.status, after.status), current)
    if current.is_canceling != after.is_canceling:
        current = replace(
            current,
            cancel_at_period_end=after.cancel_at_period_end,
            cancel_at=after.cancel_at,
            canceled_at=after.canceled_at,
        )
        yield Change("cancelScheduled" if after.is_canceling else "reactivated", current)
    if after.restricted and not current.restricted:
        current = replace(current, restricted=True)
        yield Change("restricted", current)
    if after.scheduled_change is not None and current.scheduled_change != after.scheduled_change:
        current = replace(current, scheduled_change=after.scheduled_change)
        yield Change("changeScheduled", current)
    if current != after:
        yield Change("updated", after)


def _purchase_steps(before: State, after: State) -> list[Change]:
    """Return the renewal and the change of items, which a new period has from its start.

    What is granted for a period follows what is paid for it, so the renewal tells the new items already.
    """
    has_changed = purchased_items(before) != purchased_items(after)
    events = [
        *(["renewed"] if _has_renewed(before, after) else []),
        *(["changed"] if has_changed else []),
    ]
    if not events:
        return []
    state = replace(
        before,
        items=after.items,
        current_period_start=after.current_period_start,
        current_period_end=after.current_period_end,
    )
    if has_changed and after.scheduled_change is None:
        # It has taken effect, or was superseded.
        state = replace(state, scheduled_change=None)
    return [Change(event, state) for event in events]


def _has_renewed(before: State, after: State) -> bool:
    """Whether a running subscription has moved to its next period.

    A trial that ends is `activated` instead. A subscription whose renewal payment failed has renewed before
    it became overdue.
    """
    if before.status not in CHANGEABLE_STATUSES:
        return False
    if after.status != before.status and not (before.status == "active" and after.status in OVERDUE_STATUSES):
        return False
    if before.current_period_end is None or after.current_period_start is None:
        return False
    if before.current_period_start == after.current_period_start:
        return False
    return after.current_period_start >= before.current_period_end


def purchased_items(state: State) -> list[tuple[str | None, str | None, str | None, int]]:
    """Return the items without their terms, in a stable order."""
    bought = [(item.product, item.price, item.stripe_price_id, item.quantity) for item in state.items]
    return sorted(bought, key=lambda line: tuple(str(part) for part in line))


def _status_event(origin: Status, status: Status) -> str:
    by_origin = _EVENTS_BY_ORIGIN.get(status, {})
    return by_origin.get(origin) or _EVENTS_BY_STATUS.get(status, "updated")
