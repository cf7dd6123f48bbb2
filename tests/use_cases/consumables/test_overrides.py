"""Feature overrides and the customer's own units."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from services.consumables.app import service
from tallystick.messages import consumables as m
from tallystick.messages.base import Command
from tests.support.runtime import Bound
from tests.support.worlds.grants import ACME, JANUARY, OWN, Grants, day, gives, item, more, none_of


@pytest.fixture
def world(bind: Callable[..., Bound]) -> Grants:
    """The service on 1 January, before any event."""
    grants = Grants(bind(service))
    grants.at("2026-01-01")
    return grants


def places(quantity: int | None = 10) -> Any:
    """A plan with so many places."""
    return item(gives("places", quantity, kind="limit"))


def more_places(quantity: int | None) -> Any:
    """An override that gives so many on top."""
    return more("places", quantity, kind="limit")


async def does(world: Grants, command: Command[Any]) -> dict[str, Any]:
    outcome = await world.bound.handle(command, world.bound.now)
    assert outcome.result is not None, outcome.error
    return outcome.result


async def uses(world: Grants, quantity: int, feature: str = "places") -> int | None:
    """Consume units and return what remains."""
    command_id = f"consume-{next(world.numbers)}"
    command = m.Consume(command_id=command_id, consumer=ACME, feature=feature, quantity=quantity)
    remaining: int | None = (await does(world, command))["remaining"]
    return remaining


async def releases(world: Grants, quantity: int) -> int | None:
    """Release places and return what remains."""
    command_id = f"release-{next(world.numbers)}"
    command = m.Release(command_id=command_id, consumer=ACME, feature="places", quantity=quantity)
    remaining: int | None = (await does(world, command))["remaining"]
    return remaining


async def excess(world: Grants) -> int:
    found = await world.balance(OWN, "places")
    assert found is not None
    return int(found["excess"])


async def granted(world: Grants, feature: str = "hours") -> int:
    """Return the total of granted units."""
    found = await world.balance(OWN, feature)
    return int(found["granted"]) if found is not None else 0


# -- limits -------------------------------------------------------------------------------------------------


async def test_an_overrides_places_come_at_once_and_go_with_it(world: Grants) -> None:
    """12 of 10 + 5 are in use; without the 5, 2 are above, and the third release makes room."""
    await world.subscribed(places(), **JANUARY)
    await world.overridden(more_places(5))
    assert await world.remaining(OWN, "places") == 15
    assert await uses(world, 12) == 3
    await world.overridden()
    assert (await world.remaining(OWN, "places"), await excess(world)) == (0, 2)
    assert await releases(world, 2) == 0
    assert await releases(world, 1) == 1


async def test_the_next_override_moves_the_ceiling_to_where_it_says(world: Grants) -> None:
    """10 + 5 with 14 in use, then 10 + 2: 2 above; then 10 + 7: 3 left."""
    await world.subscribed(places(), **JANUARY)
    await world.overridden(more_places(5))
    await uses(world, 14)
    await world.overridden(more_places(2))
    assert (await world.remaining(OWN, "places"), await excess(world)) == (0, 2)
    await world.overridden(more_places(7))
    assert (await world.remaining(OWN, "places"), await excess(world)) == (3, 0)


async def test_places_without_bound_while_the_override_holds(world: Grants) -> None:
    """13 are in use when the limit is 10 again: 3 are above."""
    await world.subscribed(places(), **JANUARY)
    await world.overridden(more_places(None))
    assert await uses(world, 13) is None
    await world.overridden()
    assert (await world.remaining(OWN, "places"), await excess(world)) == (0, 3)
    assert await releases(world, 13) == 10


async def test_places_taken_away_come_back(world: Grants) -> None:
    """4 of 10 are in use, then nothing is allowed: 4 are above. One is released, then 10 are back: 7 left."""
    await world.subscribed(places(), **JANUARY)
    await uses(world, 4)
    await world.overridden(none_of("places", "limit"))
    assert (await world.remaining(OWN, "places"), await excess(world)) == (0, 4)
    assert await releases(world, 1) == 0
    await world.overridden()
    assert (await world.remaining(OWN, "places"), await excess(world)) == (7, 0)


async def test_what_was_given_by_hand_is_not_taken_away(world: Grants) -> None:
    await world.feature("places", "limit")
    await world.subscribed(places(), **JANUARY)
    grant = m.Grant(command_id="grant", account=OWN, feature="places", quantity=2, reason="A trial.")
    await does(world, grant)
    await world.overridden(none_of("places", "limit"))
    assert await world.remaining(OWN, "places") == 2
    await world.overridden()
    assert await world.remaining(OWN, "places") == 12


async def test_a_plan_change_under_a_denying_override_gives_no_places(world: Grants) -> None:
    await world.subscribed(places(), **JANUARY)
    await world.overridden(none_of("places", "limit"))
    await world.subscribed(item(gives("places", 20, kind="limit"), product="larger"))
    assert await world.remaining(OWN, "places") == 0
    await world.overridden()
    assert await world.remaining(OWN, "places") == 20


async def test_places_that_nobody_sold(world: Grants) -> None:
    await world.overridden(more_places(5))
    assert await world.remaining(OWN, "places") == 5
    await world.subscribed(places(), **JANUARY)
    assert await world.remaining(OWN, "places") == 15
    await world.subscribed(status="canceled", ended_at="2026-01-20")
    assert await world.remaining(OWN, "places") == 5


async def test_the_grant_of_an_override_tells_that_people_made_it(world: Grants) -> None:
    await world.overridden(more_places(5))
    [(_, told)] = await world.told()
    assert told.grant is not None
    assert told.grant.source == m.GrantSource(kind="manual", reason="override_feature")


# -- units that are used up ---------------------------------------------------------------------------------


async def test_more_units_come_at_once_and_with_each_cycle_of_the_plan(world: Grants) -> None:
    """10 a month and 20 on top: 30 at once, 30 in February, 10 in March when the override is over."""
    await world.subscribed(item(gives()), **JANUARY)
    world.at("2026-01-15")
    await world.overridden(more())
    assert await world.remaining(OWN) == 30
    await world.renewed("2026-02-01", "2026-03-01")
    await world.renews("2026-02-01")
    assert await world.remaining(OWN) == 30
    assert {expires_at for _, expires_at, _ in await world.grants(OWN)} == {day("2026-03-01")}
    await world.overridden()
    assert await world.remaining(OWN) == 30
    await world.renewed("2026-03-01", "2026-04-01")
    await world.renews("2026-03-01")
    await world.expires("2026-03-01")
    assert await world.remaining(OWN) == 10


async def test_on_and_off_within_a_cycle_grants_once(world: Grants) -> None:
    """20, none, 20 again are 20; 25 are 5 more; 5 take nothing back; 25 again bring nothing."""
    await world.subscribed(item(gives()), **JANUARY)
    totals = []
    for overrides in ([more()], [], [more()], [more(quantity=25)], [more(quantity=5)], [more(quantity=25)]):
        await world.overridden(*overrides)
        totals.append(await granted(world))
    assert totals == [30, 30, 30, 35, 35, 35]


async def test_units_taken_away_come_no_more_and_those_that_came_stay(world: Grants) -> None:
    await world.subscribed(item(gives()), **JANUARY)
    await world.overridden(none_of())
    assert await world.remaining(OWN) == 10
    await world.renewed("2026-02-01", "2026-03-01")
    await world.renews("2026-02-01")
    await world.expires("2026-02-01")
    assert await world.remaining(OWN) == 0
    await world.overridden()
    assert await world.remaining(OWN) == 10
    await world.overridden(none_of())
    await world.overridden()
    assert await granted(world) == 20


async def test_units_that_nobody_sold_come_once(world: Grants) -> None:
    await world.overridden(more())
    assert await world.grants(OWN) == [(20, None, 100)]
    await world.renews("2026-06-01")
    assert await granted(world) == 20


async def test_units_go_on_by_the_rhythm_of_a_plan_that_has_ended(world: Grants) -> None:
    await world.subscribed(item(gives()), **JANUARY)
    await world.overridden(more())
    await world.subscribed(status="canceled", ended_at="2026-01-20")
    assert await world.remaining(OWN) == 20
    await world.renews("2026-02-01")
    assert (await world.remaining(OWN), await granted(world)) == (20, 50)
    await world.renews("2026-05-01")
    assert (await world.remaining(OWN), await granted(world)) == (20, 70)


async def test_a_later_plan_sets_the_cycle_from_the_next_one_on(world: Grants) -> None:
    """20 without a plan, 5 of them used. With the plan 10 more: 25 are left, and 30 in the next month."""
    await world.overridden(more())
    await uses(world, 5, "hours")
    await world.subscribed(item(gives()), **JANUARY)
    assert await world.remaining(OWN) == 25
    await world.renewed("2026-02-01", "2026-03-01")
    await world.renews("2026-02-01")
    assert await world.remaining(OWN) == 30


async def test_an_override_long_after_another_gives_at_once(world: Grants) -> None:
    """20 in January; another plan from 10 March on; 20 again on 15 April, with the 10 of that plan."""
    await world.subscribed(item(gives()), **JANUARY)
    await world.overridden(more())
    await world.overridden()
    await world.subscribed(status="canceled", ended_at="2026-01-31")
    for start, end in (("2026-03-10", "2026-04-10"), ("2026-04-10", "2026-05-10")):
        world.at(start)
        periods = {"current_period_start": start, "current_period_end": end}
        await world.subscribed(item(gives()), subscription_id="sub_2", **periods)
    world.at("2026-04-15")
    await world.expires("2026-04-15")
    await world.overridden(more())
    assert await world.remaining(OWN) == 30


async def test_units_without_bound_while_the_override_holds(world: Grants) -> None:
    await world.subscribed(item(gives()), **JANUARY)
    await world.overridden(more(quantity=None))
    assert await world.remaining(OWN) is None
    await world.overridden()
    await world.renewed("2026-02-01", "2026-03-01")
    await world.renews("2026-02-01")
    await world.expires("2026-02-01")
    assert await world.remaining(OWN) == 10


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_any_order_of_events_ends_at_the_same_units(world: Grants, order: tuple[int, ...]) -> None:
    """A plan with 10 hours and 10 places, overridden, the overrides raised; all of it twice. Then lowered."""
    plan = world.subscription_event(
        item(gives(), gives("places", 10, kind="limit")),
        current_period_start=day("2026-01-01"),
        current_period_end=day("2026-02-01"),
    )
    events = [
        plan,
        world.customer_event(more(), more_places(5)),
        world.customer_event(more(quantity=30), more_places(7)),
    ]
    shuffled = [events[place] for place in order]
    await world.hears(*shuffled, *shuffled)
    assert (await world.remaining(OWN), await granted(world)) == (40, 40)
    assert await world.remaining(OWN, "places") == 17
    await world.hears(world.customer_event(more(quantity=30), more_places(2)), *shuffled)
    await world.renews("2026-01-15")
    assert (await world.remaining(OWN), await granted(world)) == (40, 40)
    assert await world.remaining(OWN, "places") == 12


async def test_an_override_unsuspends_the_account_of_an_unpaid_plan(world: Grants) -> None:
    """The plan is unpaid and the account suspended, until an override adds something."""
    await world.subscribed(places(), **JANUARY)
    await world.subscribed(status="unpaid")
    [row] = await world.bound.rows("SELECT suspended FROM consumables.accounts WHERE account = %s", OWN)
    assert row["suspended"]
    await world.overridden(more_places(5))
    [row] = await world.bound.rows("SELECT suspended FROM consumables.accounts WHERE account = %s", OWN)
    assert not row["suspended"]
    await world.overridden()
    [row] = await world.bound.rows("SELECT suspended FROM consumables.accounts WHERE account = %s", OWN)
    assert row["suspended"]
