"""Overrides with an end: the clock ends them, and the job only tells of it."""

from collections.abc import Callable
from typing import Any

import pytest

from services.consumables.app import service
from tallystick.messages import consumables as m
from tests.support.runtime import Bound
from tests.support.state_machines.audit import audited
from tests.support.worlds.grants import ACME, JANUARY, OWN, Grants, day, gives, item, more

HALF = "2026-01-15"


@pytest.fixture
def world(bind: Callable[..., Bound]) -> Grants:
    """The service on 1 January, before any event."""
    grants = Grants(bind(service))
    grants.at("2026-01-01")
    return grants


def places(quantity: int | None = 5, until: str | None = HALF) -> Any:
    """An override that gives so many places on top, until the middle of January."""
    return more("places", quantity, kind="limit", until=until)


async def uses(world: Grants, quantity: int, feature: str = "hours") -> tuple[str, Any]:
    """Consume units; return the status, and what remains or could be drawn."""
    command_id = f"consume-{next(world.numbers)}"
    command = m.Consume(command_id=command_id, consumer=ACME, feature=feature, quantity=quantity)
    outcome = await world.bound.handle(command, world.bound.now)
    if outcome.error is not None:
        details: Any = outcome.error.details
        return outcome.error.code, details["available"]
    assert outcome.result is not None
    return "succeeded", outcome.result["remaining"]


async def left(world: Grants, feature: str = "hours") -> Any:
    """Return what a question says that remains."""
    outcome = await world.bound.handle(m.GetBalance(account=OWN, feature=feature), world.bound.now)
    assert outcome.result is not None
    return outcome.result["remaining"]


async def is_sound(world: Grants) -> bool:
    """Whether the audit finds nothing."""
    return await audited(world.bound.owner_url) == []


# -- units that are used up ---------------------------------------------------------------------------------


async def test_units_end_with_the_override_before_any_job_runs(world: Grants) -> None:
    # 10 a month and 20 until the middle of it; 12 are used before, the override's first.
    await world.subscribed(item(gives()), **JANUARY)
    await world.overridden(more(until=HALF))
    assert {end for _, end, _ in await world.grants(OWN)} == {day(HALF), day("2026-02-01")}
    assert await uses(world, 12) == ("succeeded", 18)
    world.at(HALF)
    assert await left(world) == 10
    assert await uses(world, 11) == ("insufficient_balance", 10)
    assert await uses(world, 4) == ("succeeded", 6)
    await world.overridden()
    await world.expires(HALF)
    assert (await left(world), await is_sound(world)) == (6, True)


async def test_no_cycle_begins_for_an_override_that_is_over(world: Grants) -> None:
    await world.subscribed(item(gives()), **JANUARY)
    await world.overridden(more(until=HALF))
    await world.renewed("2026-02-01", "2026-03-01")
    await world.renews("2026-02-01")
    assert await left(world) == 10


async def test_an_end_that_comes_after_the_cycle_is_that_of_the_next_one(world: Grants) -> None:
    await world.subscribed(item(gives()), **JANUARY)
    await world.overridden(more(until="2026-02-10"))
    assert {end for _, end, _ in await world.grants(OWN)} == {day("2026-02-01")}
    await world.renewed("2026-02-01", "2026-03-01")
    await world.renews("2026-02-01")
    assert {end for _, end, _ in await world.grants(OWN)} == {day("2026-02-10"), day("2026-03-01")}
    assert await left(world) == 30


@pytest.mark.parametrize(
    ("second", "at_half", "at_the_20th"),
    [
        ("2026-01-20", 23, 10),  # later
        ("2026-01-10", 10, 10),  # earlier
        (None, 23, 23),  # without an end
    ],
)
async def test_what_is_left_follows_an_end_that_is_moved(
    world: Grants, second: str | None, at_half: int, at_the_20th: int
) -> None:
    await world.subscribed(item(gives()), **JANUARY)
    await world.overridden(more(until=HALF))
    assert await uses(world, 7) == ("succeeded", 23)
    await world.overridden(more(until=second))
    assert await left(world) == 23
    await world.overridden(more(until=second))
    for moment, expected in ((HALF, at_half), ("2026-01-20", at_the_20th)):
        world.at(moment)
        assert await left(world) == expected
    assert await is_sound(world)


async def test_the_next_override_of_a_cycle_gives_less_what_was_used(world: Grants) -> None:
    # Of 20 until the 10th 5 were used; 20 again on the 15th are 15 more; 30 are 10 more than that.
    await world.subscribed(item(gives()), **JANUARY)
    await world.overridden(more(until="2026-01-10"))
    assert await uses(world, 5) == ("succeeded", 25)
    world.at(HALF)
    await world.overridden()
    await world.overridden(more(until="2026-01-20"))
    assert await left(world) == 25
    await world.overridden(more(quantity=30, until="2026-01-20"))
    assert await left(world) == 35
    assert await is_sound(world)


async def test_units_that_nobody_sold_end_and_come_again_with_the_next_override(world: Grants) -> None:
    await world.overridden(more(until=HALF))
    assert await uses(world, 5) == ("succeeded", 15)
    world.at(HALF)
    assert await uses(world, 1) == ("insufficient_balance", 0)
    await world.overridden(more(until="2026-03-01"))
    assert await left(world) == 20


async def test_units_without_bound_end_by_the_clock(world: Grants) -> None:
    await world.subscribed(item(gives()), **JANUARY)
    await world.overridden(more(quantity=None, until=HALF))
    assert await uses(world, 500) == ("succeeded", None)
    world.at(HALF)
    assert await left(world) == 10
    assert await uses(world, 11) == ("insufficient_balance", 10)
    await world.overridden(more(quantity=20, until="2026-01-20"))
    assert (await left(world), await is_sound(world)) == (30, True)


async def test_an_event_that_comes_after_the_end_gives_nothing(world: Grants) -> None:
    await world.subscribed(item(gives(), gives("places", 10, kind="limit")), **JANUARY)
    world.at("2026-01-20")
    await world.overridden(more(until=HALF), places())
    assert (await left(world), await left(world, "places")) == (10, 10)


# -- limits -------------------------------------------------------------------------------------------------


async def test_places_end_with_the_override_before_any_job_runs(world: Grants) -> None:
    # 12 of 10 + 5 are in use; when the 5 are over, 2 are above the ceiling.
    await world.subscribed(item(gives("places", 10, kind="limit")), **JANUARY)
    await world.overridden(places())
    assert await uses(world, 12, "places") == ("succeeded", 3)
    world.at(HALF)
    assert await left(world, "places") == 0
    assert await uses(world, 1, "places") == ("insufficient_balance", 0)
    release = m.Release(command_id="release", consumer=ACME, feature="places", quantity=3)
    assert (await world.bound.handle(release, world.bound.now)).result == {"remaining": 1}
    await world.overridden()
    await world.expires(HALF)
    assert (await left(world, "places"), await is_sound(world)) == (1, True)


async def test_another_plan_before_the_end_is_told_does_not_bring_the_places_back(world: Grants) -> None:
    await world.subscribed(item(gives("places", 10, kind="limit")), **JANUARY)
    await world.overridden(places())
    world.at(HALF)
    await world.subscribed(item(gives("places", 20, kind="limit"), product="larger"))
    assert await left(world, "places") == 20
    await world.overridden()
    assert (await left(world, "places"), await is_sound(world)) == (20, True)


async def test_places_without_bound_end_by_the_clock(world: Grants) -> None:
    await world.subscribed(item(gives("places", 10, kind="limit")), **JANUARY)
    await world.overridden(places(None))
    assert await uses(world, 13, "places") == ("succeeded", None)
    world.at(HALF)
    assert await uses(world, 1, "places") == ("insufficient_balance", 0)
    await world.overridden()
    assert (await left(world, "places"), await is_sound(world)) == (0, True)


@pytest.mark.parametrize("in_use", [0, 8, 14])
async def test_places_follow_an_override_that_changes(world: Grants, in_use: int) -> None:
    await world.subscribed(item(gives("places", 10, kind="limit")), **JANUARY)
    await world.overridden(places())
    if in_use:
        await uses(world, in_use, "places")
    for quantity, until in ((7, HALF), (2, HALF), (2, None), (None, HALF), (4, "2026-01-20"), (4, HALF)):
        await world.overridden(places(quantity, until))
        expected = None if quantity is None else max(0, 10 + quantity - in_use)
        assert await left(world, "places") == expected, (quantity, until)
        assert await is_sound(world)
    world.at(HALF)
    assert await left(world, "places") == max(0, 10 - in_use)
    await world.overridden()
    assert (await left(world, "places"), await is_sound(world)) == (max(0, 10 - in_use), True)
