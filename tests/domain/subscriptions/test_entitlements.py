"""Entitlements of a customer, computed from subscriptions."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.subscriptions.domain.entitlements import (
    NO_ALLOWANCE,
    HeldSeat,
    allowance_at,
    compute_entitlements,
)
from services.subscriptions.domain.overrides import Override
from services.subscriptions.domain.subscription_state import State
from tallystick.messages.catalog import FeatureKind, OwnerSeat, SeatRule, SeatStrategy
from tallystick.messages.subscriptions import Allowance, Status
from tests.support.subscription_values import FEBRUARY, gives, subscribed

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
MARCH, APRIL = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)


def test_any_one_source_is_enough_for_a_flag() -> None:
    found = compute_entitlements(
        {
            "sub_a": subscribed(gives("api", "flag"), product="pro"),
            "sub_b": subscribed(gives("api", "flag"), product="lab"),
        }
    )

    assert (found["api"].allowed, found["api"].quantity) == (True, None)
    assert [(s.subscription_id, s.product, s.through) for s in found["api"].sources] == [
        ("sub_a", "pro", "owner"),
        ("sub_b", "lab", "owner"),
    ]


def test_limits_and_units_of_two_subscriptions_add_up() -> None:
    found = compute_entitlements(
        {
            "sub_a": subscribed(gives("members", "limit", 10), gives("hours", "consumable", 5)),
            "sub_b": subscribed(gives("members", "limit", 3), gives("hours", "consumable", 7)),
        }
    )

    assert (found["members"].quantity, found["hours"].quantity) == (13, 12)


def test_unlimited_stays_unlimited() -> None:
    found = compute_entitlements(
        {
            "sub_a": subscribed(gives("members", "limit", 10)),
            "sub_b": subscribed(gives("members", "limit", None)),
        }
    )

    assert (found["members"].allowed, found["members"].quantity) == (True, None)


def test_a_limit_of_nothing_allows_nothing() -> None:
    found = compute_entitlements({"sub_a": subscribed(gives("members", "limit", 0))})

    assert (found["members"].allowed, found["members"].quantity) == (False, 0)


def test_what_is_bought_three_times_is_had_three_times() -> None:
    found = compute_entitlements({"sub_a": subscribed(gives("mailboxes", "limit", 5), quantity=3)})

    assert found["mailboxes"].quantity == 15


@pytest.mark.parametrize(
    ("status", "grants"),
    [
        ("trialing", True),
        ("active", True),
        ("past_due", True),
        ("incomplete", False),
        ("unpaid", False),
        ("paused", False),
        ("canceled", False),
        ("expired", False),
    ],
)
def test_only_some_statuses_grant(status: Status, grants: bool) -> None:
    assert (
        "api" in compute_entitlements({"sub_a": subscribed(gives("api", "flag"), status=status)})
    ) is grants


def team(
    strategy: SeatStrategy, owner_seat: OwnerSeat, feature: str = "hours", kind: FeatureKind = "consumable"
) -> State:
    """Ten for the team, five for the payer alone; four seats bought."""
    return subscribed(
        gives(feature, kind, 10, team=True),
        gives(feature, kind, 5),
        quantity=4,
        seats=SeatRule(strategy=strategy, owner_seat=owner_seat),
    )


@pytest.mark.parametrize("owner_seat", ["free", "billed", "none"])
@pytest.mark.parametrize(("strategy", "hours"), [("per_seat", 5), ("per_team", 15)])
def test_the_payer_has_the_pool_and_no_seats_units(
    owner_seat: OwnerSeat, strategy: SeatStrategy, hours: int
) -> None:
    # Units for the team go to each claimed seat, and nobody claims the owner's, or to one pool, on which the
    # payer may draw without a seat.
    found = compute_entitlements({"sub_a": team(strategy, owner_seat)})

    assert found["hours"].quantity == hours
    assert len(found["hours"].sources) == 1


@pytest.mark.parametrize(("owner_seat", "places"), [("free", 15), ("billed", 15), ("none", 5)])
def test_the_payer_needs_a_seat_to_share_a_limit_of_the_seats(owner_seat: OwnerSeat, places: int) -> None:
    found = compute_entitlements({"sub_a": team("per_seat", owner_seat, "places", "limit")})

    assert found["places"].quantity == places


@pytest.mark.parametrize(
    ("kind", "strategy", "owner_seat", "quantity"),
    [
        ("consumable", "per_team", "none", 15),
        ("consumable", "per_seat", "none", 25),
        ("limit", "per_team", "free", 15),
        ("limit", "per_team", "none", 15),
    ],
)
def test_a_payer_who_holds_a_seat_sees_the_pool_once(
    kind: FeatureKind, strategy: SeatStrategy, owner_seat: OwnerSeat, quantity: int
) -> None:
    # A seat that counts twice has 20 hours of its own, beside the payer's five; a pool has ten for everybody.
    state = team(strategy, owner_seat, "hours", kind)
    seat = HeldSeat("seat_1", "sub_a", state, 2)

    assert compute_entitlements({"sub_a": state}, seats=[seat])["hours"].quantity == quantity
    assert compute_entitlements({}, seats=[seat])["hours"].quantity == (20 if strategy == "per_seat" else 10)


@pytest.mark.parametrize(("flag", "day"), [(True, datetime(2026, 1, 22, tzinfo=UTC)), (False, MARCH)])
def test_a_date_in_stripe_is_the_end_of_the_features(flag: bool, day: datetime) -> None:
    ending = replace(subscribed(gives("api", "flag")), cancel_at_period_end=flag, cancel_at=day)
    assert compute_entitlements({"sub_a": ending})["api"].expires_at == day


def test_an_end_is_known_only_when_every_source_ends() -> None:
    ending = replace(subscribed(gives("api", "flag")), cancel_at_period_end=True)
    later = replace(ending, current_period_end=MARCH)

    assert compute_entitlements({"sub_a": ending})["api"].expires_at == FEBRUARY
    assert compute_entitlements({"sub_a": ending, "sub_b": later})["api"].expires_at == MARCH
    assert (
        compute_entitlements({"sub_a": ending, "sub_b": subscribed(gives("api", "flag"))})["api"].expires_at
        is None
    )


def over(quantity: int | None = 20, until: datetime | None = MARCH, *, allowed: bool = True) -> Override:
    """An override of the hours."""
    return Override("hours", allowed, quantity, until)


def steps(found: Allowance) -> list[tuple[datetime, bool, int | None, datetime | None]]:
    """Return what follows: from when, whether it is allowed, how much, until when."""
    return [(step.at, step.allowed, step.quantity, step.expires_at) for step in found.upcoming]


def test_what_one_of_several_sources_leaves_is_known_ahead() -> None:
    # 5 hours of a plan that goes on, 7 of one that ends in February, 20 of an override until March.
    plan = subscribed(gives("hours", "consumable", 5))
    ending = replace(subscribed(gives("hours", "consumable", 7)), cancel_at_period_end=True)

    found = compute_entitlements({"sub_a": plan, "sub_b": ending}, [over()])["hours"]

    assert (found.quantity, found.expires_at) == (32, None)
    assert steps(found) == [(FEBRUARY, True, 25, None), (MARCH, True, 5, None)]
    assert [s.through for s in found.upcoming[1].sources] == ["owner"]
    assert [allowance_at(found, at).quantity for at in (JANUARY, FEBRUARY, MARCH)] == [32, 25, 5]
    assert steps(allowance_at(found, FEBRUARY)) == [(MARCH, True, 5, None)]


def test_the_last_end_is_where_it_expires() -> None:
    ending = replace(subscribed(gives("hours", "consumable", 7)), cancel_at_period_end=True)

    found = compute_entitlements({"sub_b": ending}, [over(None)])["hours"]

    assert (found.quantity, found.expires_at) == (None, MARCH)
    assert steps(found) == [], "unlimited until March, with and without the plan"
    assert allowance_at(found, FEBRUARY).quantity is None
    assert allowance_at(found, MARCH) == NO_ALLOWANCE


def test_what_an_override_takes_away_comes_back_when_it_is_over() -> None:
    plan = replace(subscribed(gives("hours", "consumable", 5)), cancel_at=APRIL)
    revoked = over(None, MARCH, allowed=False)

    found = compute_entitlements({"sub_a": plan}, [revoked])["hours"]

    assert (found.allowed, found.expires_at) == (False, None)
    assert steps(found) == [(MARCH, True, 5, APRIL)]
    assert allowance_at(found, APRIL) == NO_ALLOWANCE
    assert steps(compute_entitlements({}, [revoked])["hours"]) == []
    assert not steps(compute_entitlements({"sub_a": plan}, [replace(revoked, until=None)])["hours"])


@pytest.mark.parametrize(("status", "end"), [("past_due", FEBRUARY), ("active", None)])
def test_a_payment_that_is_due_ends_the_features_with_its_grace_period(
    status: Status, end: datetime | None
) -> None:
    # An active one may still have the grace period of an earlier failure.
    late = replace(subscribed(gives("api", "flag"), status=status), grace_until=FEBRUARY)

    assert compute_entitlements({"sub_a": late})["api"].expires_at == end
    sooner = replace(late, cancel_at=datetime(2026, 1, 20, tzinfo=UTC))
    assert compute_entitlements({"sub_a": sooner})["api"].expires_at == datetime(2026, 1, 20, tzinfo=UTC)
