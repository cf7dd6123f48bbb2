"""What a customer may use, from what they have subscribed to."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.subscriptions.domain.entitlements import compute_entitlements
from services.subscriptions.domain.subscription_state import State
from tallystick.messages.catalog import FeatureKind, OwnerSeat, SeatRule
from tallystick.messages.subscriptions import ItemFeature, Status, SubscriptionItem

FEBRUARY = datetime(2026, 2, 1, tzinfo=UTC)
MARCH = datetime(2026, 3, 1, tzinfo=UTC)


def gives(feature: str, kind: FeatureKind, quantity: int | None = None, *, team: bool = False) -> ItemFeature:
    return ItemFeature(feature=feature, quantity=quantity, every=None, team_allowed=team, kind=kind)


def subscribed(
    *features: ItemFeature,
    product: str = "shop",
    quantity: int = 1,
    seats: SeatRule | None = None,
    status: Status = "active",
) -> State:
    item = SubscriptionItem(
        product=product, price=f"{product}_monthly", quantity=quantity, seats=seats, features=list(features)
    )
    return State(
        status=status,
        collection="automatic",
        items=(item,),
        current_period_start=None,
        current_period_end=FEBRUARY,
    )


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


@pytest.mark.parametrize(("owner_seat", "hours"), [("free", 15), ("billed", 15), ("none", 5)])
def test_the_payer_shares_what_is_the_team_s_only_from_a_seat_of_their_own(
    owner_seat: OwnerSeat, hours: int
) -> None:
    # Ten hours for each seat, five for the payer alone; four seats bought.
    team = subscribed(
        gives("hours", "consumable", 10, team=True),
        gives("hours", "consumable", 5),
        quantity=4,
        seats=SeatRule(strategy="per_seat", owner_seat=owner_seat),
    )

    found = compute_entitlements({"sub_a": team})

    assert found["hours"].quantity == hours
    assert len(found["hours"].sources) == 1


def test_an_end_is_known_only_when_every_source_ends() -> None:
    ending = replace(subscribed(gives("api", "flag")), cancel_at_period_end=True)
    later = replace(ending, current_period_end=MARCH)

    assert compute_entitlements({"sub_a": ending})["api"].expires_at == FEBRUARY
    assert compute_entitlements({"sub_a": ending, "sub_b": later})["api"].expires_at == MARCH
    assert (
        compute_entitlements({"sub_a": ending, "sub_b": subscribed(gives("api", "flag"))})["api"].expires_at
        is None
    )
