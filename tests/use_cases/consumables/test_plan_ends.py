"""Plans that end before their cycle does: the clock ends their units, as it ends their entitlements."""

from collections.abc import Callable
from typing import Any

import pytest

from services.consumables.app import service
from tallystick.messages import consumables as m
from tallystick.messages.base import Customer
from tests.support.runtime import Bound
from tests.support.state_machines.audit import audited
from tests.support.worlds.grants import ACME, ANN, JANUARY, OWN, Grants, day, gives, item, team_item

HALF = "2026-01-15"
FEBRUARY = "2026-02-01"
ENDS: dict[str, Any] = {"cancel_at_period_end": True, "cancel_at": day(HALF)}
GOES_ON: dict[str, Any] = {"cancel_at_period_end": False, "cancel_at": None}


@pytest.fixture
def world(bind: Callable[..., Bound]) -> Grants:
    """The service on 1 January, before any event."""
    grants = Grants(bind(service))
    grants.at("2026-01-01")
    return grants


async def does(world: Grants, message: Any) -> dict[str, Any]:
    """Handle what must succeed and return its result."""
    outcome = await world.bound.handle(message, world.bound.now)
    assert outcome.result is not None, outcome.error
    return outcome.result


def use(world: Grants, quantity: int, feature: str = "hours", consumer: Customer = ACME) -> m.Consume:
    """A command that uses units."""
    command_id = f"consume-{next(world.numbers)}"
    return m.Consume(command_id=command_id, consumer=consumer, feature=feature, quantity=quantity)


async def refused(world: Grants, command: m.Consume) -> str:
    """Handle a command that must be rejected and return the code."""
    outcome = await world.bound.handle(command, world.bound.now)
    assert outcome.error is not None, outcome.result
    return outcome.error.code


async def left(world: Grants, feature: str = "hours") -> int:
    """Return what a question says that remains."""
    return int((await does(world, m.GetBalance(account=OWN, feature=feature)))["remaining"])


async def is_sound(world: Grants) -> bool:
    """Whether the audit finds nothing."""
    return await audited(world.bound.owner_url) == []


async def ends(world: Grants) -> set[Any]:
    """When the open grants of the customer's hours end."""
    return {end for _, end, _ in await world.grants(OWN)}


@pytest.mark.parametrize("every", ["month", None])
async def test_units_end_with_the_plan_before_any_event_tells(world: Grants, every: Any) -> None:
    # 80 until February, or for as long as there is the plan; it is canceled for 15 January.
    await world.subscribed(item(gives(quantity=80, every=every)), **JANUARY)
    await does(world, use(world, 30))
    await world.subscribed(**ENDS)
    assert await ends(world) == {day(HALF)}
    assert (await left(world), await is_sound(world)) == (50, True)
    world.at("2026-01-14")
    assert (await does(world, use(world, 1)))["remaining"] == 49
    world.at(HALF)
    assert await left(world) == 0
    assert await refused(world, use(world, 1)) == "insufficient_balance"
    await world.subscribed(status="canceled", ended_at=HALF, **GOES_ON)
    assert (await left(world), await is_sound(world)) == (0, True)


async def test_a_cancellation_that_is_undone_leaves_every_unit_as_it_was(world: Grants) -> None:
    await world.subscribed(item(gives(quantity=80, rollover=60)), **JANUARY)
    taken = use(world, 30)
    await does(world, taken)
    before = await does(world, m.GetBalance(account=OWN, feature="hours"))
    for fields in (ENDS, GOES_ON):
        await world.subscribed(**fields)
    after = await does(world, m.GetBalance(account=OWN, feature="hours"))
    assert [one["expires_at"] for one in after["grants"]] == [one["expires_at"] for one in before["grants"]]
    assert (after["granted"], after["expired"], after["remaining"]) == (80, 0, 50)
    # Its grant is the same, so that units can be given back to it, and carried over.
    back = m.RefundConsumption(command_id="back", consumption_id=taken.command_id, quantity=5)
    assert await does(world, back) == {"refunded": 5, "lapsed": 0, "remaining": 55}
    await world.renewed(FEBRUARY, "2026-03-01")
    assert (await left(world), await is_sound(world)) == (80 + 55, True)


async def test_what_was_carried_over_ends_with_the_plan_too(world: Grants) -> None:
    await world.subscribed(item(gives(quantity=80, rollover=60)), **JANUARY)
    await world.renewed(FEBRUARY, "2026-03-01", cancel_at_period_end=True, cancel_at=day("2026-02-10"))
    assert await left(world) == 140
    assert await ends(world) == {day("2026-02-10")}
    world.at("2026-02-10")
    assert await left(world) == 0


async def test_a_gift_stays_when_the_plan_is_over(world: Grants) -> None:
    await world.feature()
    await world.subscribed(item(gives()), **JANUARY)
    await does(world, m.Grant(command_id="gift", account=OWN, feature="hours", quantity=7, reason="A gift"))
    await world.subscribed(**ENDS)
    world.at(HALF)
    assert (await does(world, use(world, 1)))["remaining"] == 6


async def test_an_undone_end_that_is_told_late_gives_back_what_was_left(world: Grants) -> None:
    # The end was moved in time, and its event came after the old end, when a use had found it over.
    await world.subscribed(item(gives(quantity=80)), **JANUARY)
    await does(world, use(world, 30))
    await world.subscribed(**ENDS)
    world.at(HALF)
    assert await refused(world, use(world, 1)) == "insufficient_balance"
    await world.expires(HALF)
    await world.subscribed(**GOES_ON)
    assert (await left(world), await ends(world)) == (50, {day(FEBRUARY)})
    await world.subscribed(items=[item(gives(quantity=80))])
    assert (await left(world), await is_sound(world)) == (50, True)


async def test_a_yearly_plan_begins_no_month_after_its_end(world: Grants) -> None:
    await world.subscribed(
        item(gives(quantity=80)), current_period_start="2026-01-01", current_period_end="2027-01-01"
    )
    await world.subscribed(cancel_at_period_end=True, cancel_at=day("2026-02-10"))
    await world.renews(FEBRUARY)
    assert await ends(world) == {day("2026-02-10")}
    await world.renews("2026-03-01")
    assert (await left(world), await is_sound(world)) == (0, True)


async def test_the_ceiling_of_a_limit_falls_by_the_clock(world: Grants) -> None:
    # 10 places with 4 in use; the cancellation is undone, made again, and then the time comes.
    await world.subscribed(item(gives("places", kind="limit")), **JANUARY)
    await does(world, use(world, 4, "places"))
    for fields in (ENDS, GOES_ON, ENDS):
        await world.subscribed(**fields)
        assert (await left(world, "places"), await is_sound(world)) == (6, True)
    world.at(HALF)
    assert await refused(world, use(world, 1, "places")) == "insufficient_balance"
    await world.subscribed(status="canceled", ended_at=HALF, **GOES_ON)
    released = m.Release(command_id="free", consumer=ACME, feature="places", quantity=4)
    assert (await does(world, released), await is_sound(world)) == ({"remaining": 0}, True)


async def test_the_units_of_a_seat_end_with_the_plan(world: Grants) -> None:
    plan = team_item(gives(team_allowed=True), strategy="per_seat")
    await world.subscribed(plan, **JANUARY)
    await world.team(strategy="per_seat")
    await world.seat()
    await world.subscribed(**ENDS)
    await world.seat(number=2, member=Customer(type="user", id="cara"))
    assert (await does(world, use(world, 1, consumer=ANN)))["remaining"] == 9
    world.at(HALF)
    for consumer in (ANN, Customer(type="user", id="cara")):
        assert await refused(world, use(world, 1, consumer=consumer)) == "insufficient_balance"
