"""Grants of subscriptions: when they are made and when they expire."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from services.consumables.app import service
from tallystick.messages import consumables as m
from tallystick.messages.base import Customer
from tests.support.runtime import Bound
from tests.support.worlds.grants import (
    ACME,
    JANUARY,
    OWN,
    Grants,
    day,
    gives,
    item,
    team_item,
)


@pytest.fixture
def world(bind: Callable[..., Bound]) -> Grants:
    """The service on 1 January, before any event."""
    grants = Grants(bind(service))
    grants.at("2026-01-01")
    return grants


async def test_units_come_when_a_subscription_is_active(world: Grants) -> None:
    await world.subscribed(item(gives(quantity=100)), status="incomplete", **JANUARY)
    assert await world.remaining(OWN) == 0

    await world.subscribed(status="active")
    assert await world.remaining(OWN) == 100
    assert await world.grants(OWN) == [(100, day("2026-02-01"), 100)]
    ((name, event),) = await world.told()
    assert name == "grantedV1"
    assert event.grant is not None
    assert event.grant.source.subscription_id == "sub_1"
    assert (event.consumable.granted, event.consumable.remaining, event.version) == (100, 100, 1)
    assert await world.bucket() == {"customer_organization_acme.hours": {"remaining": 100, "version": 1}}


async def test_a_trial_brings_units_and_the_paid_time_brings_its_own(world: Grants) -> None:
    trial = {"current_period_start": "2026-01-01", "current_period_end": "2026-01-15"}
    await world.subscribed(item(gives(quantity=10)), status="trialing", trial_end="2026-01-15", **trial)
    assert await world.remaining(OWN) == 10

    await world.renewed("2026-01-15", "2026-02-15", status="active")
    assert await world.grants(OWN) == [(10, day("2026-02-15"), 100)]


async def test_what_is_heard_twice_is_granted_once(world: Grants) -> None:
    event = await world.subscribed(item(gives(quantity=100)), **JANUARY)
    await world.hears(event, event)
    await world.renews("2026-01-02")
    await world.renews("2026-01-02")
    assert await world.remaining(OWN) == 100
    assert await world.names() == ["grantedV1"]


async def test_a_renewal_brings_new_units_and_the_old_ones_lapse(world: Grants) -> None:
    await world.subscribed(item(gives(quantity=100)), **JANUARY)
    await world.renewed("2026-02-01", "2026-03-01")
    assert await world.grants(OWN) == [(100, day("2026-03-01"), 100)]
    balance = await world.balance(OWN)
    assert balance is not None
    assert (balance["granted"], balance["expired"], balance["remaining"]) == (200, 100, 100)
    assert await world.names() == ["grantedV1", "expiredV1", "grantedV1"]
    assert [event.version for _, event in await world.told()] == [1, 2, 3]


async def test_a_tick_does_not_grant_a_period_that_is_not_bought_yet(world: Grants) -> None:
    await world.subscribed(item(gives(quantity=100)), **JANUARY)
    await world.renews("2026-02-01")
    await world.expires("2026-02-01")
    assert await world.remaining(OWN) == 0

    await world.renewed("2026-02-01", "2026-03-01")
    assert await world.remaining(OWN) == 100


@pytest.mark.parametrize("expired_first", [True, False])
async def test_80_left_with_a_rollover_of_50(world: Grants, expired_first: bool) -> None:
    await world.subscribed(item(gives(quantity=80, rollover=50)), **JANUARY)
    if expired_first:
        await world.expires("2026-02-01")
    await world.renewed("2026-02-01", "2026-03-01")
    # What was carried over goes first.
    assert await world.grants(OWN) == [(50, day("2026-03-01"), 90), (80, day("2026-03-01"), 100)]

    await world.renewed("2026-03-01", "2026-04-01")
    assert await world.grants(OWN) == [(50, day("2026-04-01"), 90), (80, day("2026-04-01"), 100)]


async def test_a_yearly_plan_grants_monthly_for_fourteen_months(world: Grants) -> None:
    year = {"current_period_start": "2026-01-31", "current_period_end": "2027-01-31"}
    world.at("2026-01-31")
    await world.subscribed(item(gives(quantity=10)), **year)
    starts = [
        *("2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31", "2026-06-30", "2026-07-31"),
        *("2026-08-31", "2026-09-30", "2026-10-31", "2026-11-30", "2026-12-31"),
    ]
    for number, start in enumerate(starts, start=2):
        await world.renews(start)
        await world.renews(start)
        balance = await world.balance(OWN)
        assert balance is not None
        assert (balance["granted"], balance["remaining"]) == (10 * number, 10), start
    assert await world.grants(OWN) == [(10, day("2027-01-31"), 100)]

    await world.renews("2027-01-31")
    assert await world.grants(OWN) == [(10, day("2027-01-31"), 100)], "the second year is not bought yet"
    await world.renewed("2027-01-31", "2028-01-31")
    assert await world.grants(OWN) == [(10, day("2027-02-28"), 100)]
    await world.renews("2027-02-28")
    balance = await world.balance(OWN)
    assert balance is not None
    assert (balance["granted"], balance["expired"], balance["remaining"]) == (140, 130, 10)


async def test_past_months_are_not_granted_after_an_outage(world: Grants) -> None:
    year = {"current_period_start": "2026-01-01", "current_period_end": "2027-01-01"}
    await world.subscribed(item(gives(quantity=10, rollover=3)), **year)
    await world.renews("2026-05-20")
    assert await world.grants(OWN) == [(3, day("2026-06-01"), 90), (10, day("2026-06-01"), 100)]
    balance = await world.balance(OWN)
    assert balance is not None
    assert balance["granted"] == 23


async def test_weekly_units_of_a_monthly_plan_keep_their_own_rhythm(world: Grants) -> None:
    await world.subscribed(item(gives(quantity=7, every="week")), **JANUARY)
    await world.renews("2026-01-08")
    assert await world.grants(OWN) == [(7, day("2026-01-15"), 100)]
    await world.renewed("2026-02-01", "2026-03-01")
    # The fifth week began on 29 January, before the renewal.
    assert await world.grants(OWN) == [(7, day("2026-02-05"), 100)]


async def test_a_plan_every_three_months_grants_monthly_from_the_31st(world: Grants) -> None:
    quarterly = item(gives(quantity=10)).model_copy(update={"interval": "month", "interval_count": 3})
    await world.renewed("2026-01-31", "2026-04-30", quarterly)
    for start, end in [("2026-02-28", "2026-03-31"), ("2026-03-31", "2026-04-30")]:
        await world.renews(start)
        assert await world.grants(OWN) == [(10, day(end), 100)]
    await world.renews("2026-04-30")
    assert await world.grants(OWN) == [(10, day("2026-04-30"), 100)], "the next quarter is not bought yet"
    await world.renewed("2026-04-30", "2026-07-31", quarterly)
    assert await world.grants(OWN) == [(10, day("2026-05-31"), 100)]


async def test_a_plan_every_two_weeks_grants_its_monthly_units_monthly(world: Grants) -> None:
    fortnight = item(gives(quantity=10)).model_copy(update={"interval": "week", "interval_count": 2})
    await world.renewed("2026-01-01", "2026-01-15", fortnight)
    await world.renewed("2026-01-15", "2026-01-29", fortnight)
    assert await world.grants(OWN) == [(10, day("2026-02-01"), 100)]
    await world.renewed("2026-01-29", "2026-02-12", fortnight)
    await world.renews("2026-02-01")
    balance = await world.balance(OWN)
    assert balance is not None
    assert (balance["granted"], balance["remaining"]) == (20, 10)


async def test_units_granted_once_stay_until_the_subscription_ends(world: Grants) -> None:
    await world.subscribed(item(gives(quantity=25, every=None)), **JANUARY)
    await world.renewed("2026-02-01", "2026-03-01")
    assert await world.grants(OWN) == [(25, None, 100)]
    await world.subscribed(status="canceled", ended_at="2026-03-01")
    assert await world.remaining(OWN) == 0


async def test_a_larger_plan_tops_the_running_month_up(world: Grants) -> None:
    await world.subscribed(item(gives(quantity=100)), **JANUARY)
    await world.subscribed(item(gives(quantity=250), product="larger"))
    assert await world.remaining(OWN) == 250
    await world.renewed("2026-02-01", "2026-03-01")
    assert await world.remaining(OWN) == 250


async def test_a_smaller_plan_at_once_takes_back_what_was_not_used(world: Grants) -> None:
    """From 9 a month without hours to 80 hours and back within a second; 7 by hand are not touched."""
    tiny, solo = item(product="tiny"), item(gives(quantity=80, rollover=60), product="solo")
    await world.feature()
    await world.subscribed(tiny, **JANUARY)
    await world.subscribed(solo)
    assert await world.remaining(OWN) == 80
    by_hand = m.Grant(command_id="by-hand", account=OWN, feature="hours", quantity=7, reason="a gift")
    used = m.Consume(command_id="used", consumer=ACME, feature="hours", quantity=30)
    for command in (by_hand, used):
        outcome = await world.bound.handle(command, world.bound.now)
        assert outcome.status == "succeeded", outcome.error
    await world.subscribed(tiny)
    assert await world.remaining(OWN) == 7
    await world.subscribed(solo)
    assert await world.remaining(OWN) == 57
    await world.subscribed(item(gives(quantity=20), product="small"))
    assert await world.remaining(OWN) == 7
    await world.renewed("2026-02-01", "2026-03-01")
    assert await world.remaining(OWN) == 27


async def test_an_edit_of_the_product_changes_the_next_grant(world: Grants) -> None:
    await world.subscribed(item(gives(quantity=100), gives("extras", 5, every="year")), **JANUARY)
    await world.renewed(
        "2026-02-01", "2026-03-01", item(gives(quantity=40), gives("extras", 9, every="year"))
    )
    assert await world.remaining(OWN) == 40
    assert await world.remaining(OWN, "extras") == 5, "the year that runs is as it was"


async def test_an_edit_that_drops_a_feature_wipes_nothing(world: Grants) -> None:
    await world.subscribed(item(gives(quantity=100), gives("extras", 5, every=None)), **JANUARY)
    await world.renewed("2026-02-01", "2026-03-01", item(gives(quantity=100)))
    assert await world.remaining(OWN, "extras") == 5


async def test_nothing_is_carried_over_of_what_the_plan_gives_no_more(world: Grants) -> None:
    await world.subscribed(item(gives(quantity=100, rollover=50)), **JANUARY)
    await world.renewed("2026-02-01", "2026-03-01", item(gives("extras", 5)))
    assert await world.remaining(OWN) == 0
    assert await world.grants(OWN) == []


async def test_unlimited_units_are_unlimited_month_after_month(world: Grants) -> None:
    await world.subscribed(item(gives(quantity=None)), **JANUARY)
    assert await world.remaining(OWN) is None
    await world.renewed("2026-02-01", "2026-03-01")
    assert await world.grants(OWN) == [(None, day("2026-03-01"), 100)]
    balance = await world.balance(OWN)
    assert balance is not None
    assert balance["unlimited"] == 1
    await world.subscribed(status="canceled", ended_at="2026-02-10")
    assert await world.remaining(OWN) == 0


async def test_units_of_two_subscriptions_add_up_and_end_separately(world: Grants) -> None:
    await world.subscribed(item(gives(quantity=100)), **JANUARY)
    await world.subscribed(item(gives(quantity=30), product="pack"), subscription_id="sub_2", **JANUARY)
    assert await world.remaining(OWN) == 130
    await world.subscribed(status="canceled", ended_at="2026-01-20")
    assert await world.remaining(OWN) == 30


async def test_a_top_up_survives_other_products_renewals_and_the_end(world: Grants) -> None:
    await world.feature()
    await world.subscribed(item(gives(quantity=100)), **JANUARY)
    top_up = m.Grant(command_id="top-up", account=OWN, feature="hours", quantity=40, reason="sorry")
    assert (await world.bound.handle(top_up)).status == "succeeded"
    await world.subscribed(item(gives(quantity=30), product="pack"), subscription_id="sub_2", **JANUARY)
    assert await world.remaining(OWN) == 170
    await world.renewed("2026-02-01", "2026-03-01", item(gives(quantity=60), product="smaller"))
    await world.expires("2026-02-01")
    assert await world.remaining(OWN) == 40 + 60
    await world.subscribed(status="canceled", ended_at="2026-03-01")
    assert await world.grants(OWN) == [(40, None, 100)]


async def test_units_used_while_they_are_renewed_are_counted_once(world: Grants) -> None:
    await world.feature()
    plan = team_item(gives(quantity=10, team_allowed=True, rollover=10), strategy="per_seat")
    year = {"current_period_start": "2026-01-01", "current_period_end": "2027-01-01"}
    await world.subscribed(plan, **year)
    await world.team(strategy="per_seat")
    members = [Customer(type="user", id=f"member-{number}") for number in range(20)]
    for number, member in enumerate(members):
        await world.seat(number, member=member)
    world.at("2026-01-31T23:59:59")
    uses = [
        m.Consume(command_id=f"use-{month}-{member.id}", consumer=member, feature="hours", quantity=2)
        for month in range(4)
        for member in members
    ]

    async def renews() -> None:
        for month in ("02", "03", "04"):
            await world.bound.tick("renew_grants", day(f"2026-{month}-01"))

    renewing = asyncio.create_task(renews())
    outcomes = await asyncio.gather(*(world.bound.handle(use) for use in uses))
    await renewing
    assert {outcome.status for outcome in outcomes} == {"succeeded"}
    balances = await world.bound.rows("""
        SELECT consumed, granted = consumed + expired + remaining AS adds_up, remaining <= 20 AS is_sane
        FROM consumables.balances
    """)
    assert [tuple(row.values()) for row in balances] == [(8, True, True)] * 20
    entered = await world.bound.rows("SELECT sum(quantity) FROM consumables.entries WHERE kind = 'consumed'")
    assert entered[0]["sum"] == 160


async def test_no_grant_after_grace_and_only_the_current_one_later(world: Grants) -> None:
    await world.subscribed(item(gives(quantity=10)), **JANUARY)
    await world.renewed("2026-02-01", "2026-03-01", status="past_due")
    assert await world.remaining(OWN) == 10, "everything stays during grace"
    await world.subscribed(restricted=True)
    rows = await world.bound.rows("SELECT suspended FROM consumables.accounts")
    assert [row["suspended"] for row in rows] == [True]
    await world.renewed("2026-03-01", "2026-04-01")
    await world.renewed("2026-04-01", "2026-05-01", status="active", restricted=False)
    assert await world.grants(OWN) == [(10, day("2026-05-01"), 100)]
    rows = await world.bound.rows("SELECT suspended FROM consumables.accounts")
    assert [row["suspended"] for row in rows] == [False]


@pytest.mark.parametrize("stopped", [{"status": "paused"}, {"status": "unpaid"}, {"restricted": True}])
async def test_own_units_are_withheld_while_nothing_is_paid_for(
    world: Grants, stopped: dict[str, Any]
) -> None:
    async def is_suspended() -> bool:
        (row,) = await world.bound.rows("SELECT suspended FROM consumables.accounts WHERE account = %s", OWN)
        return bool(row["suspended"])

    await world.subscribed(item(gives()), status="past_due", **JANUARY)
    assert not await is_suspended(), "there is grace"
    await world.subscribed(**{"status": "past_due"} | stopped)
    assert await is_suspended()
    use = m.Consume(command_id="use", consumer=ACME, feature="hours")
    outcome = await world.bound.handle(use, world.bound.now)
    assert outcome.error is not None and outcome.error.code == "account_suspended"
    await world.subscribed(item(gives()), subscription_id="sub_2", **JANUARY)
    assert not await is_suspended(), "another one is paid for"
    await world.subscribed(subscription_id="sub_2", status="canceled", ended_at="2026-01-01")
    assert await is_suspended()
    await world.subscribed(status="active", restricted=False)
    assert not await is_suspended()


async def test_a_period_that_is_told_has_begun_whatever_the_clock_says(world: Grants) -> None:
    await world.subscribed(item(gives()), **JANUARY)
    world.at("2026-01-31T23:59:59")
    await world.subscribed(current_period_start="2026-02-01", current_period_end="2026-03-01")
    assert await world.grants(OWN) == [(10, day("2026-03-01"), 100)]
