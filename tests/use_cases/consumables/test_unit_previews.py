"""Previews of what a change of plan does to units, held against the ledger after the change."""

import asyncio
from collections.abc import Callable, Iterator
from itertools import count, product
from typing import Any

import pytest

from services.consumables.app import service
from services.consumables.previews import unit_changes
from tallystick.messages import consumables as m
from tallystick.messages.subscriptions import SubscriptionItem
from tests.support.runtime import Bound
from tests.support.worlds.grants import (
    ACME,
    BOB,
    JANUARY,
    OWN,
    POOL,
    SUBSCRIPTION,
    Grants,
    day,
    gives,
    item,
    more,
    none_of,
    team_item,
)

TINY = item(product="tiny")
NUMBERS: Iterator[int] = count()


def solo(quantity: int | None = 80, **fields: Any) -> SubscriptionItem:
    """A plan with hours, by default 80 a month."""
    return item(gives(quantity=quantity, **fields), product="solo")


def pro(quantity: int | None = 200, **fields: Any) -> SubscriptionItem:
    """A larger plan, by default with 200 hours a month."""
    return item(gives(quantity=quantity, **fields), product="pro")


def planned(*items: SubscriptionItem) -> list[m.PlannedItem]:
    """Return items as the question has them."""
    fields = set(m.PlannedItem.model_fields)
    return [m.PlannedItem.model_validate(one.model_dump(include=fields)) for one in items]


@pytest.fixture
def world(bind: Callable[..., Bound]) -> Grants:
    """The service on 1 January, before any event."""
    grants = Grants(bind(service))
    grants.at("2026-01-01")
    return grants


async def previewed(world: Grants, *items: SubscriptionItem, **fields: Any) -> list[dict[str, Any]] | None:
    """Return what the preview says."""
    question: dict[str, Any] = {"customer": ACME, "subscription_id": SUBSCRIPTION, "items": planned(*items)}
    outcome = await world.bound.handle(m.PreviewUnits(**(question | fields)))
    assert outcome.status == "succeeded", outcome.error
    return m.UnitsPreview.model_validate(outcome.result).model_dump()["units"]  # type: ignore[no-any-return]


async def uses(world: Grants, quantity: int, **fields: Any) -> None:
    """Consume hours, if there are any to consume."""
    if quantity:
        consumed = m.Consume(
            command_id=f"use-{next(NUMBERS)}", consumer=ACME, feature="hours", quantity=quantity, **fields
        )
        assert (await world.bound.handle(consumed)).status == "succeeded"


async def grants_by_hand(world: Grants, quantity: int) -> None:
    """Grant hours that never expire."""
    await world.feature()
    command = m.Grant(
        command_id=f"gift-{next(NUMBERS)}", account=OWN, feature="hours", quantity=quantity, reason="a test"
    )
    assert (await world.bound.handle(command)).status == "succeeded"


def hours(change: int, remaining: int, next_cycle: int | None, accounts: int = 1) -> dict[str, Any]:
    """What a preview says of hours."""
    return {
        "feature": "hours",
        "change": change,
        "remaining": remaining,
        "every": "month" if next_cycle is not None else None,
        "next_cycle": next_cycle,
        "accounts": accounts,
    }


async def test_solo_for_tiny_takes_back_what_is_left(world: Grants) -> None:
    await world.subscribed(solo(), **JANUARY)
    await uses(world, 30)
    assert await previewed(world, TINY) == [hours(-50, 0, 0)]
    await world.subscribed(TINY)
    assert await world.remaining(OWN) == 0


async def test_solo_for_pro_adds_the_difference(world: Grants) -> None:
    await world.subscribed(solo(), **JANUARY)
    await uses(world, 30)
    assert await previewed(world, pro()) == [hours(120, 170, 200)]
    await world.subscribed(pro())
    assert await world.remaining(OWN) == 170


async def test_nothing_is_left_to_take_back(world: Grants) -> None:
    await world.subscribed(solo(), **JANUARY)
    await uses(world, 80)
    assert await previewed(world, TINY) == [hours(0, 0, 0)]


async def test_tiny_for_solo_gives_all_and_after_a_return_only_what_was_not_used(world: Grants) -> None:
    await world.subscribed(TINY, **JANUARY)
    assert await previewed(world, solo()) == [hours(80, 80, 80)]
    await world.subscribed(solo())
    await uses(world, 30)
    await world.subscribed(TINY)
    assert await previewed(world, solo()) == [hours(50, 50, 80)]


async def test_a_preview_changes_nothing(world: Grants) -> None:
    await world.subscribed(solo(), **JANUARY)
    told, grants = await world.names(), await world.grants(OWN)
    await previewed(world, TINY)
    await previewed(world, pro())
    assert (await world.names(), await world.grants(OWN)) == (told, grants)
    await world.renews("2026-01-02")
    assert await world.remaining(OWN) == 80


@pytest.mark.parametrize(
    ("quantity", "used", "carried", "bought"),
    list(product((0, 20, 80, 200), (0, 30, 90), (0, 7), (0, 5))),
)
async def test_the_preview_is_what_the_change_then_does(
    world: Grants, quantity: int, used: int, carried: int, bought: int
) -> None:
    # January leaves what February carries over.
    await world.subscribed(solo(rollover=carried), **JANUARY)
    await world.renewed("2026-02-01", "2026-03-01")
    if bought:
        await grants_by_hand(world, bought)
    before = 80 + carried + bought
    await uses(world, min(used, before))

    target = TINY if quantity == 0 else pro(quantity)
    units = await previewed(world, target)
    assert units is not None
    change = sum(one["change"] for one in units)
    assert await changed(world, target) == before - min(used, before) + change
    assert [one["remaining"] for one in units] == [await own_hours(world)] * len(units)
    assert units or quantity == 80, "as many as before"


async def own_hours(world: Grants) -> int:
    """Return what remains of the plan's own hours."""
    query = (
        "SELECT sum(remaining)::int AS own FROM consumables.grants WHERE source ->> 'kind' = 'subscription'"
    )
    return int((await world.bound.rows(query))[0]["own"])


async def changed(world: Grants, target: SubscriptionItem) -> int:
    """Change the plan and return what remains in all."""
    await world.subscribed(target)
    return await world.remaining(OWN) or 0


async def test_at_the_end_of_the_period_nothing_is_taken_back_before(world: Grants) -> None:
    await world.subscribed(solo(), **JANUARY)
    await uses(world, 30)
    assert await previewed(world, TINY, when="period_end") == [hours(0, 50, 0)]
    assert await previewed(world, pro(), when="period_end") == [hours(0, 50, 200)]


async def test_unlimited_hours_are_not_mentioned(world: Grants) -> None:
    await world.subscribed(solo(), **JANUARY)
    assert await previewed(world, pro(None)) == []
    await world.subscribed(pro(None))
    assert await previewed(world, solo()) == []


async def test_limits_are_not_mentioned(world: Grants) -> None:
    seats = gives("members", 5, kind="limit")
    await world.subscribed(item(gives(), seats), **JANUARY)
    units = await previewed(world, item(gives(quantity=4), gives("members", 3, kind="limit"), product="less"))
    assert units == [hours(-6, 4, 4)]


async def test_a_larger_quantity_multiplies_the_hours(world: Grants) -> None:
    await world.subscribed(item(gives()), **JANUARY)
    await uses(world, 4)
    assert await previewed(world, item(gives(), quantity=3)) == [hours(20, 26, 30)]
    assert await previewed(world, item(gives(), quantity=1)) == []


async def test_a_new_period_begins_a_new_cycle(world: Grants) -> None:
    await world.subscribed(solo(rollover=10), **JANUARY)
    await uses(world, 30)
    world.at("2026-01-11")
    year = m.PlannedPeriod(start=day("2026-01-11"), end=day("2027-01-11"))
    # Ten of 31 days paid for 26 of the 30 that were used: nothing is carried over, and 200 - 4 replace 50.
    assert await previewed(world, pro(rollover=10), period=year) == [hours(146, 196, 200)]
    await world.subscribed(
        pro(rollover=10), current_period_start="2026-01-11", current_period_end="2027-01-11"
    )
    assert await world.remaining(OWN) == 196


async def test_the_same_plan_for_a_year_begins_a_new_cycle_too(world: Grants) -> None:
    await world.subscribed(solo(), **JANUARY)
    await uses(world, 30)
    world.at("2026-01-11")
    year = m.PlannedPeriod(start=day("2026-01-11"), end=day("2027-01-11"))
    assert await previewed(world, solo(), period=year) == [hours(26, 76, 80)]
    await world.subscribed(current_period_start="2026-01-11", current_period_end="2027-01-11")
    assert await world.remaining(OWN) == 76


async def test_what_was_paid_for_and_not_used_is_carried_into_the_new_period(world: Grants) -> None:
    await world.subscribed(solo(rollover=10), **JANUARY)
    await uses(world, 10)
    world.at("2026-01-11")
    year = m.PlannedPeriod(start=day("2026-01-11"), end=day("2027-01-11"))
    # Of the 26 that are paid for 16 are left, of which 10 are carried over: 200 + 10 - 70.
    assert await previewed(world, pro(rollover=10), period=year) == [hours(140, 200, 200)]
    await world.subscribed(
        pro(rollover=10), current_period_start="2026-01-11", current_period_end="2027-01-11"
    )
    assert await world.remaining(OWN) == 210


async def test_a_pool_is_one_account(world: Grants) -> None:
    pool = gives(quantity=100, team_allowed=True)
    await world.subscribed(team_item(pool), **JANUARY)
    await world.team()
    await uses(world, 30, account=POOL)
    less = team_item(gives(quantity=40, team_allowed=True), product="smaller")
    assert await previewed(world, less) == [hours(-60, 10, 40)]
    await world.subscribed(less)
    assert await world.remaining(POOL) == 10


async def test_every_claimed_seat_is_counted(world: Grants) -> None:
    rule: dict[str, Any] = {"strategy": "per_seat"}
    await world.subscribed(team_item(gives(quantity=10, team_allowed=True), **rule), **JANUARY)
    await world.team(strategy="per_seat")
    await world.seat(1)
    await world.seat(2, member=BOB, multiplier=2)
    await world.seat(3, status="pending", member=None)
    # 10 and 2 × 10 become 25 and 2 × 25, and new hours come for the same two.
    larger = team_item(
        gives(quantity=25, team_allowed=True),
        gives("calls", quantity=3, team_allowed=True),
        **rule,
        product="larger",
    )
    calls = hours(9, 9, 9, accounts=2) | {"feature": "calls"}
    assert await previewed(world, larger) == [calls, hours(45, 75, 75, accounts=2)]
    await world.subscribed(larger)
    assert [await world.remaining(f"seat:seat_{number}") for number in (1, 2)] == [25, 50]
    assert [await world.remaining(f"seat:seat_{number}", "calls") for number in (1, 2)] == [3, 6]


async def test_more_accounts_than_can_be_answered_at_once(
    world: Grants, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unit_changes, "PREVIEWED_MAX", 1)
    rule: dict[str, Any] = {"strategy": "per_seat"}
    await world.subscribed(team_item(gives(team_allowed=True), **rule), **JANUARY)
    await world.team(strategy="per_seat")
    larger = team_item(gives(quantity=25, team_allowed=True), **rule, product="larger")
    await world.seat(1)
    assert await previewed(world, larger) == [hours(15, 25, 25)]
    await world.seat(2, member=BOB)
    assert await previewed(world, larger) is None


async def test_what_an_override_gives_or_revokes_is_not_the_plans(world: Grants) -> None:
    await world.subscribed(solo(), **JANUARY)
    await world.overridden(more(quantity=20))
    assert await previewed(world, TINY) == [hours(-80, 0, 0)]
    await world.overridden(none_of())
    remaining = await world.remaining(OWN)
    units = await previewed(world, pro())
    assert units is not None
    assert sum(one["change"] for one in units) + (remaining or 0) == await changed(world, pro())


async def test_a_restricted_subscription_gives_nothing_now(world: Grants) -> None:
    await world.subscribed(solo(), **JANUARY)
    await world.subscribed(status="past_due", restricted=True)
    assert await previewed(world, pro()) == []


async def test_a_new_add_on_gives_what_is_not_revoked(world: Grants) -> None:
    add_on = item(gives(quantity=5), gives("calls", every=None, quantity=3), product="more")
    given = [hours(3, 3, None) | {"feature": "calls"}, hours(5, 5, 5)]
    assert await previewed(world, add_on, subscription_id=None) == given
    await world.overridden(none_of())
    assert await previewed(world, add_on, subscription_id=None) == given[:1]
    assert await previewed(world, item(gives(quantity=None)), subscription_id=None) == []


async def test_a_subscription_that_was_never_heard_of(world: Grants) -> None:
    outcome = await world.bound.handle(
        m.PreviewUnits(customer=ACME, subscription_id="sub_nowhere", items=planned(solo()))
    )
    assert outcome.error is not None
    assert outcome.error.code == "not_found"


async def test_a_preview_waits_for_the_version_that_it_is_for(world: Grants) -> None:
    await world.subscribed(solo(), **JANUARY)
    asked = asyncio.create_task(previewed(world, pro(), version=2))
    await asyncio.sleep(0)
    await world.subscribed(item(gives(quantity=50), product="half"))
    assert await asked == [hours(150, 200, 200)]
    question = m.PreviewUnits(customer=ACME, subscription_id=SUBSCRIPTION, items=planned(pro()), version=3)
    outcome = await world.bound.handle(question)
    assert outcome.error is not None
    assert outcome.error.code == "not_found"
