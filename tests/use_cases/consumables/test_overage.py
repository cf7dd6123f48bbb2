"""Units beyond the included ones: owed instead of refused."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from services.consumables.app import service
from tallystick.messages import consumables as m
from tallystick.messages.base import Money
from tests.support.runtime import Bound
from tests.support.worlds.grants import ACME, ANN, BOB, OWN, POOL, Grants, day, gives, item, team_item
from tests.support.worlds.overage import OverageWorld

REFUSED = "insufficient_balance"


@pytest.fixture
async def world(bind: Callable[..., Bound]) -> OverageWorld:
    """10 hours a month; each hour beyond costs 2.00."""
    units = Grants(bind(service))
    units.at("2026-01-01")
    world = OverageWorld(units)
    await world.sells()
    return world


async def test_what_goes_beyond_is_owed_and_the_balance_stays_at_zero(world: OverageWorld) -> None:
    await world.subscribed()
    assert await world.uses(8) == (8, 2, 0)
    assert await world.uses(7) == (7, 0, 5)
    assert await world.uses(3) == (3, 0, 3)
    assert await world.owed() == [(OWN, 8, 0)]
    found = await world.outcome(m.GetBalance(account=OWN, feature="hours"))
    assert (found["granted"], found["consumed"], found["remaining"]) == (18, 18, 0)
    assert (found["total"], found["grants"]) == (10, [])
    assert await world.is_sound()


async def test_the_result_names_the_grant_that_is_owed_from(world: OverageWorld) -> None:
    await world.subscribed()
    found = await world.outcome(world.consume(12))
    assert [part["quantity"] for part in found["drawn"]] == [10, 2]
    assert m.Consumed.model_validate(found, strict=False).overage == 2
    entries = (await world.outcome(m.ListEntries(account=OWN, feature="hours")))["items"]
    assert {(one["grant_id"], one["kind"], one["quantity"]) for one in entries} == {
        (found["drawn"][0]["grant_id"], "granted", 10),
        (found["drawn"][0]["grant_id"], "consumed", 10),
        (found["drawn"][1]["grant_id"], "consumed", 2),
    }
    assert await world.units.names() == ["grantedV1", "consumedV1", "lowV1", "exhaustedV1"]


@pytest.mark.parametrize("cap", [6, Money(amount=1_399, currency="eur")])
async def test_the_cap_refuses(world: OverageWorld, cap: Any) -> None:
    # 6 units, or 13.99 at 2.00 each.
    await world.sells(cap)
    await world.subscribed()
    assert await world.uses(14) == (14, 0, 4)
    assert await world.uses(3) == (REFUSED, {"available": 2})
    assert await world.uses(3, partial=True) == (2, 0, 2)
    assert await world.uses(1, partial=True) == (REFUSED, {"available": 0})
    assert await world.owed() == [(OWN, 6, 0)]


async def test_part_of_what_is_left_is_completed_up_to_the_cap(world: OverageWorld) -> None:
    await world.sells(3)
    await world.subscribed()
    await world.uses(8)
    assert await world.uses(20, partial=True) == (5, 0, 3)
    assert await world.is_sound()


async def test_without_a_price_units_are_refused(world: OverageWorld) -> None:
    await world.sells(overage=False)
    await world.subscribed()
    assert await world.uses(11) == (REFUSED, {"available": 10})
    await world.sells()
    assert await world.uses(11) == (11, 0, 1)
    await world.sells(overage=False)
    assert await world.uses(1) == (REFUSED, {"available": 0})
    assert await world.owed() == [(OWN, 1, 0)]


async def test_only_a_plan_that_includes_the_feature_owes(world: OverageWorld) -> None:
    assert (await world.uses(1))[0] in ("no_account", REFUSED)
    await world.subscribed()
    await world.units.subscribed(status="canceled", ended_at="2026-01-10")
    assert (await world.uses(1))[0] == REFUSED


async def test_a_plan_without_any_included_units_is_pay_as_you_go(world: OverageWorld) -> None:
    await world.subscribed(item(gives(quantity=0)))
    assert await world.uses(4) == (4, 0, 4)
    assert await world.is_sound()


async def test_one_command_owes_once_however_often_it_is_sent(world: OverageWorld) -> None:
    await world.subscribed()
    command = world.consume(12)
    outcomes = await asyncio.gather(*(world.outcome(command) for _ in range(5)))
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert await world.owed() == [(OWN, 2, 0)]


async def test_many_at_once_owe_exactly_what_was_used(world: OverageWorld) -> None:
    await world.sells(25)
    await world.subscribed()
    found = await asyncio.gather(*(world.uses(1) for _ in range(50)))
    assert sum(one[0] == 1 for one in found) == 35
    assert await world.owed() == [(OWN, 25, 0)]
    assert await world.is_sound()


async def test_items_of_one_message_owe_together(world: OverageWorld) -> None:
    await world.sells(4)
    await world.subscribed()
    items = [world.consume(quantity) for quantity in (8, 4, 5, 2)]
    found = await world.outcome(m.ConsumeMany(command_id="many", items=items))
    told = [one.get("result", one.get("error")) for one in found["outcomes"]]
    assert [one.get("consumed", one.get("code")) for one in told] == [8, 4, REFUSED, 2]
    assert [one.get("overage", 0) for one in told] == [0, 4, 0, 0]
    assert await world.owed() == [(OWN, 4, 0)]


async def test_usage_tells_how_much_was_beyond(world: OverageWorld) -> None:
    await world.subscribed()
    world.units.at("2026-01-15")
    used = world.consume(13)
    await world.outcome(used)
    question = m.Usage(
        customer=ACME,
        feature="hours",
        since=world.units.bound.now,
        until=world.units.bound.now.replace(hour=1),
        by="day",
    )
    [day] = (await world.outcome(question))["items"]
    assert (day["quantity"], day["overage"]) == (13, 3)
    refund = m.RefundConsumption(command_id="refund", consumption_id=used.command_id, quantity=4)
    await world.outcome(refund)
    [day] = (await world.outcome(question))["items"]
    assert (day["quantity"], day["overage"]) == (9, 0)


# -- together with what else there is -----------------------------------------------------------------------


async def test_a_refund_first_takes_back_what_is_owed(world: OverageWorld) -> None:
    await world.subscribed()
    used = world.consume(15)
    await world.outcome(used)
    refund = m.RefundConsumption(command_id="refund", consumption_id=used.command_id, quantity=7)
    assert await world.outcome(refund) == {"refunded": 7, "lapsed": 0, "remaining": 2}
    assert await world.owed() == [(OWN, 0, 0)]
    assert await world.uses(3) == (3, 0, 1)
    assert await world.is_sound()


async def test_a_reservation_holds_units_beyond_and_owes_those_that_are_used(world: OverageWorld) -> None:
    await world.sells(8)
    await world.subscribed()
    reserve = m.Reserve(command_id="reserve", consumer=ACME, feature="hours", quantity=15, ttl_seconds=60)
    held = await world.outcome(reserve)
    assert (held["reserved"], held["remaining"]) == (15, 0)
    assert await world.owed() == [(OWN, 0, 0)]
    assert await world.uses(4) == (REFUSED, {"available": 3})
    commit = m.CommitReservation(command_id="commit", reservation_id=held["reservation_id"], quantity=12)
    assert await world.outcome(commit) == {"consumed": 12, "remaining": 0}
    assert await world.owed() == [(OWN, 2, 0)]
    assert await world.uses(6) == (6, 0, 6)
    assert await world.is_sound()


async def test_a_commit_above_the_reservation_owes_the_rest(world: OverageWorld) -> None:
    await world.sells(3)
    await world.subscribed()
    reserve = m.Reserve(command_id="reserve", consumer=ACME, feature="hours", quantity=8, ttl_seconds=60)
    held = await world.outcome(reserve)
    many = m.CommitReservation(command_id="many", reservation_id=held["reservation_id"], quantity=14)
    assert await world.outcome(many) == (REFUSED, {"available": 13})
    fits = m.CommitReservation(command_id="fits", reservation_id=held["reservation_id"], quantity=13)
    assert await world.outcome(fits) == {"consumed": 13, "remaining": 0}
    assert await world.owed() == [(OWN, 3, 0)]


async def test_what_expires_with_its_reservation_is_not_owed(world: OverageWorld) -> None:
    await world.subscribed()
    reserve = m.Reserve(command_id="reserve", consumer=ACME, feature="hours", quantity=15, ttl_seconds=60)
    await world.outcome(reserve)
    world.units.at("2026-01-02")
    assert await world.uses(10) == (10, 0, 0)
    assert await world.owed() == [(OWN, 0, 0)]
    assert await world.is_sound()


async def test_a_pool_owes_for_its_members(world: OverageWorld) -> None:
    await world.subscribed(team_item(gives(team_allowed=True)))
    await world.units.team()
    await world.units.seat()
    await world.units.seat(2, member=BOB)
    assert await world.uses(8, ANN) == (8, 2, 0)
    assert await world.uses(5, BOB) == (5, 0, 3)
    assert await world.owed() == [(POOL, 3, 0)]


async def test_each_seat_owes_for_itself(world: OverageWorld) -> None:
    await world.sells(3)
    await world.subscribed(team_item(gives(team_allowed=True), gives(quantity=5), strategy="per_seat"))
    await world.units.team(strategy="per_seat")
    await world.units.seat()
    await world.units.seat(2, member=BOB)
    assert await world.uses(13, ANN) == (13, 0, 3)
    assert await world.uses(1, ANN) == (REFUSED, {"available": 0})
    assert await world.uses(11, BOB) == (11, 0, 1)
    assert await world.uses(6) == (6, 0, 1)
    assert await world.owed() == [(OWN, 1, 0), ("seat:seat_1", 3, 0), ("seat:seat_2", 1, 0)]


async def test_bought_units_are_used_before_any_are_owed(world: OverageWorld) -> None:
    await world.subscribed()
    await world.uses(12)
    grant = m.Grant(command_id="grant", account=OWN, feature="hours", quantity=5, reason="bought")
    await world.outcome(grant)
    assert await world.uses(4) == (4, 1, 0)
    assert await world.uses(4) == (4, 0, 3)
    assert await world.owed() == [(OWN, 5, 0)]


async def test_a_suspended_account_owes_nothing_more(world: OverageWorld) -> None:
    await world.subscribed()
    await world.uses(11)
    await world.units.subscribed(status="past_due", restricted=True)
    assert (await world.uses(1))[0] == "account_suspended"
    assert await world.owed() == [(OWN, 1, 0)]


async def test_late_usage_is_owed_in_the_running_period(world: OverageWorld) -> None:
    await world.subscribed()
    early = world.units.bound.now
    world.units.at("2026-01-20")
    assert await world.uses(12, occurred_at=early) == (12, 0, 2)
    assert await world.owed() == [(OWN, 2, 0)]


async def test_the_next_period_owes_for_itself_at_the_price_of_its_first_unit(world: OverageWorld) -> None:
    await world.subscribed()
    await world.uses(12)
    world.price = Money(amount=300, currency="eur")
    await world.sells(4)
    await world.uses(1)
    await world.units.renewed("2026-02-01", "2026-03-01")
    await world.units.renews("2026-02-01")
    assert await world.uses(14) == (14, 0, 4)
    assert await world.uses(1) == (REFUSED, {"available": 0})
    assert await world.owed() == [(OWN, 3, 3), (OWN, 4, 0)], "the first period is charged"
    rows = await world.units.bound.rows(
        "SELECT unit_amount, cap FROM consumables.overages ORDER BY period_start"
    )
    assert [(row["unit_amount"], row["cap"]) for row in rows] == [(200, None), (300, 4)]


async def test_a_plan_that_is_over_by_the_clock_owes_nothing_more(world: OverageWorld) -> None:
    await world.subscribed()
    await world.uses(11)
    ends_at = day("2026-01-15")
    await world.units.subscribed(cancel_at_period_end=True, cancel_at=ends_at)
    assert await world.uses(1) == (1, 0, 1)
    world.units.bound.now = ends_at
    assert await world.uses(1) == (REFUSED, {"available": 0})
    assert await world.owed() == [(OWN, 2, 0)]
