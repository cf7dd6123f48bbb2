"""Usage alerts: told once a percentage and cycle, in the commit that reaches it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from services.consumables.app import service
from services.consumables.domain.usage_alerts import NONE_AHEAD, reach
from tallystick.messages import consumables as m
from tests.support.runtime import NOON, Bound
from tests.support.state_machines.audit import audited
from tests.support.worlds.balances import ACME, ANN, HOURS, MEMBERS, OWN, SEAT_OF_ANN, UnitsWorld
from tests.support.worlds.grants import JANUARY, Grants, gives, item


async def alerts(world: UnitsWorld, *percents: int, account: str = OWN, feature: str = HOURS) -> list[int]:
    """Set the alerts; return those that are reached already."""
    command = m.SetUsageAlerts(
        command_id=world.command_id(), account=account, feature=feature, percents=list(percents)
    )
    reached: list[int] = (await world.does(command))["usage_alerts"]["reached"]
    return reached


async def told(world: UnitsWorld) -> list[int | None]:
    """Return the percentages that were told since the last call."""
    return [event.percent for name, event in await world.events() if name == "thresholdReachedV1"]


async def reached(world: UnitsWorld) -> tuple[list[int], list[int]]:
    """Return the alerts as they are shown, and those of them that are reached."""
    found = (await world.does(m.GetUsageAlerts(account=OWN, feature=HOURS)))["usage_alerts"]
    return found["percents"], found["reached"]


async def test_each_percentage_is_told_once_when_it_is_reached(units: UnitsWorld) -> None:
    await units.grant(200)
    assert await alerts(units, 80, 50, 100, 50) == []
    await units.uses(99)
    assert await told(units) == []
    await units.uses(1)
    assert await told(units) == [50]
    await units.uses(20)
    assert await told(units) == []
    await units.uses(80)
    assert await told(units) == [80, 100]
    assert await reached(units) == ([50, 80, 100], [50, 80, 100])
    assert await audited(units.bound.owner_url) == []


async def test_what_is_reached_already_is_not_told(units: UnitsWorld) -> None:
    await units.grant(10)
    await units.uses(6)
    assert await alerts(units, 50, 90) == [50]
    await units.uses(3)
    assert await told(units) == [90]


async def test_a_grant_that_leads_back_under_it_arms_it_again(units: UnitsWorld) -> None:
    # 8 of 10; then 8 of 12 are below 80 but not below 50; 10 of 12 reach 80 again.
    await units.grant(10)
    await alerts(units, 50, 80)
    await units.uses(8)
    assert await told(units) == [50, 80]
    await units.grant(2)
    assert await reached(units) == ([50, 80], [50])
    await units.uses(1)
    assert await told(units) == []
    await units.uses(1)
    assert await told(units) == [80]


async def test_a_refund_does_not_tell_it_again(units: UnitsWorld) -> None:
    await units.grant(10)
    await alerts(units, 50)
    used = units.consume(6)
    await units.does(used)
    await units.does(m.RefundConsumption(command_id="refund", consumption_id=used.command_id))
    await units.uses(7)
    assert await told(units) == [50]


async def test_grants_that_are_used_up_count(units: UnitsWorld) -> None:
    await units.grant(100, expires_at=NOON + timedelta(days=1))
    await units.grant(420)
    await alerts(units, 94)
    await units.uses(100)
    await units.uses(388)
    assert await told(units) == []
    await units.uses(1)
    assert await told(units) == [94]


async def test_other_accounts_and_no_alerts_tell_nothing(units: UnitsWorld) -> None:
    await units.grant(10)
    await units.grant(10, SEAT_OF_ANN)
    await alerts(units, 10)
    await units.uses(10, ANN)
    assert await told(units) == []
    await alerts(units)
    assert await reached(units) == ([], [])
    await units.uses(10)
    assert await told(units) == []


async def test_a_limit_has_alerts_as_well(units: UnitsWorld) -> None:
    await units.grant(10, feature=MEMBERS)
    await alerts(units, 80, feature=MEMBERS)
    await units.uses(8, feature=MEMBERS)
    assert await told(units) == [80]


async def test_unlimited_units_reach_nothing(units: UnitsWorld) -> None:
    await units.grant(None)
    await alerts(units, 1)
    await units.uses(1_000)
    assert await told(units) == []


async def test_a_reservation_reaches_it(units: UnitsWorld) -> None:
    await units.grant(10)
    await alerts(units, 50)
    command = m.Reserve(command_id="r", consumer=ACME, feature=HOURS, quantity=5, ttl_seconds=60)
    await units.does(command)
    assert await told(units) == [50]


async def test_only_known_accounts_and_features_have_alerts(units: UnitsWorld) -> None:
    def wanted(account: str, feature: str) -> m.SetUsageAlerts:
        return m.SetUsageAlerts(
            command_id=units.command_id(), account=account, feature=feature, percents=[50]
        )

    assert (await units.refuses(wanted("team:team_9", HOURS)))[0] == "no_account"
    assert (await units.refuses(wanted(OWN, "nothing")))[0] == "unknown_feature"
    assert (await units.refuses(wanted(OWN, "reading")))[0] == "unknown_feature"
    assert (await units.refuses(m.GetUsageAlerts(account="team:team_9", feature=HOURS)))[0] == "no_account"


async def test_the_next_cycle_arms_all_of_them(bind: Callable[..., Bound]) -> None:
    world = Grants(bind(service))
    world.at("2026-01-01")
    await world.feature()
    await world.subscribed(item(gives()), **JANUARY)
    command = m.SetUsageAlerts(command_id="alerts", account=OWN, feature="hours", percents=[50, 80])
    assert (await world.bound.handle(command, world.bound.now)).status == "succeeded"

    async def uses(quantity: int) -> None:
        command_id = f"use-{next(world.numbers)}"
        consume = m.Consume(command_id=command_id, consumer=ACME, feature="hours", quantity=quantity)
        assert (await world.bound.handle(consume, world.bound.now)).status == "succeeded"

    async def percents() -> list[int | None]:
        return [event.percent for name, event in await world.told() if name == "thresholdReachedV1"]

    await uses(9)
    assert await percents() == [50, 80]
    await world.renewed("2026-02-01", "2026-03-01")
    await world.renews("2026-02-01")
    await uses(4)
    assert await percents() == [50, 80]
    await uses(1)
    assert await percents() == [50, 80, 50]


@pytest.mark.parametrize(
    ("total", "remaining", "before", "is_armed", "expected"),
    [
        (3, 2, [], False, ([], [], 1)),  # 33 % of 50
        (3, 1, [], False, ([50], [50], NONE_AHEAD)),
        (3, 1, [50], False, ([], [50], NONE_AHEAD)),
        (4, 3, [50], True, ([], [], 2)),
        (4, 3, [50], False, ([], [50], NONE_AHEAD)),
        (0, 0, [50], False, ([], [50], NONE_AHEAD)),
        (None, 0, [50], True, ([], [], NONE_AHEAD)),
    ],
)
def test_when_half_of_the_units_is_reached(
    total: int | None, remaining: int, before: list[int], is_armed: bool, expected: tuple[Any, ...]
) -> None:
    assert tuple(reach([50], before, total, remaining, is_armed=is_armed)) == expected
