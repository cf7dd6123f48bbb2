"""Usage that is reported after it happened: balances change now, everything else has the day it happened."""

from datetime import UTC, datetime, timedelta

import pytest

from tallystick.messages import consumables as m
from tests.support.runtime import NOON
from tests.support.worlds.balances import ACME, OWN, UnitsWorld

DAY = timedelta(days=1)


@pytest.fixture
def world(units: UnitsWorld) -> UnitsWorld:
    return units


async def usage_by_day(world: UnitsWorld) -> list[tuple[str, int]]:
    question = m.Usage(
        customer=ACME,
        feature="hours",
        since=datetime(2025, 12, 1, tzinfo=UTC),
        until=datetime(2026, 2, 1, tzinfo=UTC),
        by="day",
    )
    return [(item["start"][:10], item["quantity"]) for item in (await world.does(question))["items"]]


async def test_late_usage_counts_on_the_day_it_happened(world: UnitsWorld) -> None:
    await world.grant(10)
    late = world.consume(3, occurred_at=NOON - 20 * DAY)
    assert await world.uses(2) == 8
    assert (await world.does(late))["remaining"] == 5
    earlier_today = world.consume(1, occurred_at=NOON - timedelta(hours=2))
    assert (await world.does(earlier_today))["remaining"] == 4
    assert await usage_by_day(world) == [("2025-12-26", 3), ("2026-01-15", 3)]
    entries = (await world.does(m.ListEntries(account=OWN, since=NOON - 30 * DAY)))["items"]
    shown = {
        (entry["quantity"], entry["occurred_at"][:13]) for entry in entries if entry["kind"] == "consumed"
    }
    assert shown == {(3, "2025-12-26T12"), (2, "2026-01-15T12"), (1, "2026-01-15T10")}

    refund = m.RefundConsumption(command_id=world.command_id(), consumption_id=late.command_id)
    assert (await world.does(refund))["refunded"] == 3
    assert await usage_by_day(world) == [("2026-01-15", 3)]


@pytest.mark.parametrize(
    ("occurred_at", "problem"),
    [
        (NOON + timedelta(seconds=1), "must not be in the future"),
        (NOON - 35 * DAY - timedelta(seconds=1), "must be within the last 35 days"),
    ],
)
async def test_usage_ahead_of_time_or_too_late_is_rejected(
    world: UnitsWorld, occurred_at: datetime, problem: str
) -> None:
    await world.grant(10)
    code, details = await world.refuses(world.consume(3, occurred_at=occurred_at))
    assert (code, details) == (
        "invalid_message",
        {"fields": [{"field": "occurred_at", "problem": problem}]},
    )
    assert await world.uses(1, occurred_at=NOON - 35 * DAY) == 9


async def test_each_item_of_many_has_its_own_day(world: UnitsWorld) -> None:
    await world.grant(10)
    items = [
        world.consume(1),
        world.consume(2, occurred_at=NOON - DAY),
        world.consume(3, occurred_at=NOON + DAY),
        world.consume(4, occurred_at=NOON - DAY),
    ]
    result = await world.does(m.ConsumeMany(command_id=world.command_id(), items=items))
    assert [outcome["status"] for outcome in result["outcomes"]] == [
        "succeeded",
        "succeeded",
        "rejected",
        "succeeded",
    ]
    assert await usage_by_day(world) == [("2026-01-14", 6), ("2026-01-15", 1)]
