"""When an add-on ends: on its own date, or with its customer's last plan if that is earlier."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from services.subscriptions.domain.subscription_state import OVERDUE_STATUSES, State


@dataclass(frozen=True, slots=True)
class PlanEnd:
    """The end of a customer's last plan; without a time the plan goes on."""

    at: datetime | None
    has_ended: bool = False


@dataclass(frozen=True, slots=True)
class FollowedEnd:
    """The end of a plan that an add-on was set to, and the end of its own that it had before."""

    at: datetime
    own: datetime | None
    credit: bool
    """Whether the paid time after it is credited."""


@dataclass(frozen=True, slots=True)
class EndChange:
    """The change of an add-on's end: `at` a time, or never (None), or `now`."""

    at: datetime | None
    now: bool
    credit: bool
    follows: FollowedEnd | None
    """What is to be remembered of the plan's end; None: the add-on has an end of its own, or none."""


def plan_end(plans: Iterable[State], ended_at: datetime | None) -> PlanEnd:
    """Return the end of the last of the customer's live plans, or when the last one ended."""
    ends = [plan.ends_at for plan in plans]
    if not ends:
        return PlanEnd(ended_at, has_ended=True)
    known = [_whole_seconds(end) for end in ends if end is not None]
    return PlanEnd(max(known) if len(known) == len(ends) else None)


def end_with_plan(add_on: State, followed: FollowedEnd | None, plan: PlanEnd) -> tuple[datetime | None, bool]:
    """Return when an add-on ends given the plan's end, and whether paid time after that is credited.

    What ends on a date of its own, which is earlier, is not credited.
    """
    own = _own_end(add_on, followed)
    if plan.at is None or (own is not None and own <= plan.at):
        return own, False
    return plan.at, _is_paid(add_on)


def change_of_end(add_on: State, followed: FollowedEnd | None, plan: PlanEnd) -> EndChange | None:
    """Return how an add-on's end has to change so that it follows the plan's; None if it does already.

    An end of its own that is earlier stays, and comes back when the plan goes on. An add-on that is to end
    when the plan has ended, is left to Stripe.
    """
    present, own, credit = add_on.ends_at, _own_end(add_on, followed), _is_paid(add_on)
    if plan.has_ended:
        if plan.at is None or (present is not None and present <= plan.at):
            return None
        return EndChange(plan.at, now=True, credit=credit, follows=FollowedEnd(plan.at, own, credit))
    if plan.at is None or (own is not None and own <= plan.at):
        return None if present == own else EndChange(own, now=False, credit=credit, follows=None)
    if present == plan.at and followed is not None and followed.credit == credit:
        return None
    return EndChange(plan.at, now=False, credit=credit, follows=FollowedEnd(plan.at, own, credit))


def _own_end(add_on: State, followed: FollowedEnd | None) -> datetime | None:
    return followed.own if followed is not None and followed.at == add_on.ends_at else add_on.ends_at


def _is_paid(add_on: State) -> bool:
    return add_on.status not in (*OVERDUE_STATUSES, "incomplete")


def _whole_seconds(moment: datetime) -> datetime:
    """Return a moment as Stripe stores it."""
    return moment.replace(microsecond=0)
