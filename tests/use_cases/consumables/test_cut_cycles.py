"""Billing periods that a change cuts short: the rest was given back, so what was used of it counts on."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from services.consumables.app import service
from tallystick.messages import consumables as m
from tests.support.runtime import Bound
from tests.support.state_machines.audit import audited
from tests.support.worlds.grants import ACME, JANUARY, OWN, Grants, day, gives, item

A_YEAR, A_MONTH, A_MINUTE = timedelta(days=365), timedelta(days=31), timedelta(minutes=1)


@pytest.fixture
def world(bind: Callable[..., Bound]) -> Grants:
    """The service on 1 January, before any event."""
    grants = Grants(bind(service))
    grants.at("2026-01-01")
    return grants


def solo(hours: int = 80, rollover: int = 60, product: str = "solo") -> Any:
    """A plan with hours a month."""
    return item(gives(quantity=hours, rollover=rollover), product=product)


async def uses(world: Grants, quantity: int) -> None:
    """Consume hours."""
    command_id = f"consume-{next(world.numbers)}"
    command = m.Consume(command_id=command_id, consumer=ACME, feature="hours", quantity=quantity)
    outcome = await world.bound.handle(command, world.bound.now)
    assert outcome.status == "succeeded", outcome.error


async def begins_anew(world: Grants, length: timedelta, *items: Any, **fields: Any) -> None:
    """Change to another interval: a period begins now, and what is left of the last one is credited."""
    start = world.bound.now
    ends = {"current_period_start": start, "current_period_end": start + length}
    period = {name: moment.isoformat() for name, moment in ends.items()}
    await world.subscribed(*items, **period, **fields)


async def left(world: Grants) -> int | None:
    """Return what remains, in books that are sound."""
    assert await audited(world.bound.owner_url) == []
    return await world.remaining(OWN)


async def test_to_the_year_and_back_gives_no_units_again(world: Grants) -> None:
    # 80 used within a minute. Each change credits all of the last period, so nothing more is paid for.
    await world.subscribed(solo(), **JANUARY)
    await uses(world, 80)
    for length in (A_YEAR, A_MONTH, A_YEAR):
        world.bound.now += A_MINUTE
        await begins_anew(world, length)
        assert await left(world) == 0
    # Not by way of another plan either.
    for plan in (item(product="tiny"), solo()):
        await world.subscribed(plan)
        assert await left(world) == 0
    # A larger plan brings the difference, and the next month its own units.
    await world.subscribed(solo(200, 0, "pro"))
    assert await left(world) == 120
    await world.renews("2026-02-02")
    assert await left(world) == 200


@pytest.mark.parametrize(("used", "remaining"), [(40, 80), (60, 60), (10, 80 + 30), (0, 80 + 40)])
async def test_what_was_paid_for_until_the_change_may_be_used(
    world: Grants, used: int, remaining: int
) -> None:
    # Half of the month has passed, which paid for 40 hours: more counts for the new month, fewer are carried.
    await world.subscribed(solo(), **JANUARY)
    await uses(world, used) if used else None
    world.bound.now = day("2026-01-16") + timedelta(hours=12)
    await begins_anew(world, A_YEAR)
    assert await left(world) == remaining


async def test_a_trial_that_ends_and_a_renewal_cut_nothing(world: Grants) -> None:
    await world.subscribed(
        solo(),
        status="trialing",
        current_period_start="2026-01-01",
        current_period_end="2026-01-15",
    )
    await uses(world, 80)
    for end in (day("2026-01-10"), day("2026-02-10")):
        # The trial ends early; then the first paid month does.
        world.bound.now = end
        await begins_anew(world, A_MONTH, status="active")
        assert await left(world) == 80
        await uses(world, 80)
