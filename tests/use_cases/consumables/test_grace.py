"""The end of a grace period suspends accounts by the clock, before any event tells of it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from services.consumables.app import service
from tallystick.messages import consumables as m
from tallystick.messages.base import Customer
from tests.support.runtime import Bound
from tests.support.worlds.grants import ACME, ANN, JANUARY, Grants, day, gives, item, more, team_item

GRACE = day("2026-01-15")
LATE: dict[str, Any] = {"status": "past_due", "grace_until": GRACE}


@pytest.fixture
def world(bind: Callable[..., Bound]) -> Grants:
    """The service on 1 January, before any event."""
    grants = Grants(bind(service))
    grants.at("2026-01-01")
    return grants


async def uses(world: Grants, consumer: Customer = ACME) -> str:
    """Consume a unit; return the status or the code of the rejection."""
    command_id = f"consume-{next(world.numbers)}"
    command = m.Consume(command_id=command_id, consumer=consumer, feature="hours", quantity=1)
    outcome = await world.bound.handle(command, world.bound.now)
    return outcome.error.code if outcome.error is not None else outcome.status


async def around_the_end(world: Grants, consumer: Customer = ACME) -> tuple[str, str]:
    """Consume a unit just before the end of the grace period, and at its end."""
    world.bound.now = GRACE - timedelta(seconds=1)
    before = await uses(world, consumer)
    world.bound.now = GRACE
    return before, await uses(world, consumer)


async def test_the_payer_is_suspended_when_the_grace_period_ends(world: Grants) -> None:
    await world.subscribed(item(gives()), **JANUARY)
    await world.subscribed(**LATE)
    assert await around_the_end(world) == ("succeeded", "account_suspended")
    await world.subscribed(status="active")
    assert await uses(world) == "succeeded"


@pytest.mark.parametrize("strategy", ["per_team", "per_seat"])
@pytest.mark.parametrize("claimed_late", [True, False])
async def test_a_teams_members_are_suspended_too(world: Grants, strategy: Any, claimed_late: bool) -> None:
    plan = team_item(gives(team_allowed=True), strategy=strategy)
    await world.subscribed(plan, **JANUARY)
    await world.team(strategy=strategy)
    if not claimed_late:
        await world.seat()
    await world.subscribed(**LATE)
    if claimed_late:
        await world.seat()
    assert await around_the_end(world, ANN) == ("succeeded", "account_suspended")
    await world.subscribed(status="active")
    assert await uses(world, ANN) == "succeeded"


async def test_another_source_keeps_the_account_open_as_long_as_it_gives(world: Grants) -> None:
    await world.subscribed(item(gives()), **JANUARY)
    await world.subscribed(**LATE)
    await world.overridden(more(until="2026-01-20"))
    assert await around_the_end(world) == ("succeeded", "succeeded")
    world.at("2026-01-20")
    assert await uses(world) == "account_suspended"
    await world.overridden(more(until=None))
    assert await uses(world) == "succeeded"
