"""Queries of balances, the ledger and recharges: filters and pagination."""

from datetime import timedelta
from typing import Any

import pytest

from tallystick.messages import consumables as m
from tests.support.runtime import NOON
from tests.support.worlds.balances import (
    ACME,
    ANN,
    BOB,
    HOURS,
    MEMBERS,
    OWN,
    POOL,
    SEAT_OF_ANN,
    SEAT_OF_BOB,
    UnitsWorld,
)


@pytest.fixture
def world(units: UnitsWorld) -> UnitsWorld:
    return units


async def pages(world: UnitsWorld, question: Any) -> list[dict[str, Any]]:
    """Return all items page by page; only the last page may be shorter."""
    items: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = await world.does(question.model_copy(update={"cursor": cursor}))
        items += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return items
        assert len(page["items"]) == question.limit


async def test_the_ledger_is_listed_newest_first_with_who_and_why(world: UnitsWorld) -> None:
    grant_id = await world.grant(10, POOL)
    world.now = NOON + timedelta(minutes=1)
    used = world.consume(3, ANN, account=POOL, metadata={"call": "7"})
    await world.does(used)
    world.now = NOON + timedelta(minutes=2)
    reserve = m.Reserve(
        command_id="reserve", consumer=BOB, feature=HOURS, quantity=2, account=POOL, ttl_seconds=60
    )
    reservation_id = (await world.does(reserve))["reservation_id"]
    assert await pages(world, m.ListEntries(account=SEAT_OF_ANN)) == []
    reserved, consumed, granted = await pages(world, m.ListEntries(account=POOL))
    shown = [(one["kind"], one["quantity"], one["caused_by"]) for one in (reserved, consumed, granted)]
    assert shown == [
        ("reserved", 2, "reserve"),
        ("consumed", 3, used.command_id),
        ("granted", 10, "command-1"),
    ]
    assert (reserved["consumer"]["id"], reserved["reservation_id"]) == ("bob", reservation_id)
    assert (consumed["consumer"]["id"], consumed["metadata"]) == ("ann", {"call": "7"})
    assert (granted["consumer"], granted["metadata"], granted["reservation_id"]) == (None, None, None)
    assert {one["grant_id"] for one in (reserved, consumed, granted)} == {grant_id}
    assert [one["occurred_at"] for one in (consumed, granted)] == [
        "2026-01-15T12:01:00Z",
        "2026-01-15T12:00:00Z",
    ]


async def test_a_reservations_metadata_is_kept_on_its_entries(world: UnitsWorld) -> None:
    await world.grant(10)
    reserve = m.Reserve(
        command_id="reserve", consumer=ACME, feature=HOURS, quantity=3, ttl_seconds=60, metadata={"job": "9"}
    )
    reservation_id = (await world.does(reserve))["reservation_id"]
    world.now = NOON + timedelta(seconds=1)
    commit = m.CommitReservation(command_id="commit", reservation_id=reservation_id, quantity=2)
    await world.does(commit)
    told = [entry for _, event in await world.events() for entry in event.entries if entry.kind != "granted"]
    listed = await pages(world, m.ListEntries(account=OWN, since=NOON + timedelta(seconds=1)))
    assert {(one["kind"], one["quantity"], one["caused_by"]) for one in listed} == {
        ("committed", 2, "commit"),
        ("released", 1, "commit"),
    }
    assert {(entry.kind, entry.quantity) for entry in told} == {
        ("reserved", 3),
        ("committed", 2),
        ("released", 1),
    }
    for entry in [*told, *(m.Entry.model_validate(one, strict=False) for one in listed)]:
        assert (entry.consumer, entry.reservation_id, entry.metadata) == (ACME, reservation_id, {"job": "9"})


async def test_the_ledger_is_cut_from_a_moment_on_and_before_another(world: UnitsWorld) -> None:
    await world.grant(10)
    for minute in (1, 2, 3):
        world.now = NOON + timedelta(minutes=minute)
        await world.uses(minute)

    async def used(**fields: Any) -> list[int]:
        return [one["quantity"] for one in await pages(world, m.ListEntries(account=OWN, **fields))]

    assert await used(since=NOON + timedelta(minutes=2)) == [3, 2]
    assert await used(until=NOON + timedelta(minutes=2)) == [1, 10]
    one, three = NOON + timedelta(minutes=1), NOON + timedelta(minutes=3)
    assert await used(since=one, until=three) == [2, 1]
    assert await used(since=three, until=one) == []


@pytest.mark.parametrize("limit", [1, 3, 7])
async def test_the_ledger_is_paged_also_within_one_moment(world: UnitsWorld, limit: int) -> None:
    await world.grant(10)
    await world.grant(10, feature=MEMBERS)
    for _ in range(5):
        await world.uses(1)
    every = await pages(world, m.ListEntries(account=OWN, limit=limit))
    assert len({one["entry_id"] for one in every}) == len(every) == 7
    hours = await pages(world, m.ListEntries(account=OWN, feature=HOURS, limit=limit))
    assert [one["quantity"] for one in hours] == [1, 1, 1, 1, 1, 10]
    assert [one["feature"] for one in every if one not in hours] == [MEMBERS]


async def test_balances_of_an_account_and_of_a_consumer(world: UnitsWorld) -> None:
    for account in (OWN, POOL, SEAT_OF_ANN, SEAT_OF_BOB):
        await world.grant(10, account)
    await world.grant(5, POOL, MEMBERS)
    await world.uses(4, ANN, account=POOL)

    async def balances(**whose: Any) -> list[tuple[str, str, int | None]]:
        found = await pages(world, m.ListBalances(limit=1, **whose))
        return [(one["account"], one["feature"], one["remaining"]) for one in found]

    pool = [(POOL, HOURS, 6), (POOL, MEMBERS, 5)]
    assert await balances(account=POOL) == pool
    assert await balances(consumer=ANN) == [(SEAT_OF_ANN, HOURS, 10), *pool]
    assert await balances(consumer=ACME) == [(OWN, HOURS, 10), *pool]
    await world.grant(None, POOL)
    (hours, _) = await pages(world, m.ListBalances(account=POOL))
    assert (hours["granted"], hours["remaining"], hours["consumed"]) == (None, None, 4)


async def test_a_balance_is_one_accounts_or_all_that_somebody_draws_on(world: UnitsWorld) -> None:
    first = await world.grant(10, SEAT_OF_ANN, expires_at=NOON + timedelta(days=1))
    others = [await world.grant(5, POOL, priority=50), await world.grant(20, POOL)]
    await world.uses(12, ANN)
    pool = await world.does(m.GetBalance(account=POOL, feature=HOURS))
    assert (pool["granted"], pool["consumed"], pool["remaining"]) == (25, 2, 23)
    ann = await world.does(m.GetBalance(consumer=ANN, feature=HOURS))
    assert (ann["granted"], ann["consumed"], ann["remaining"]) == (35, 12, 23)
    shown = [(one["grant_id"], one["remaining"]) for one in ann["grants"]]
    assert shown == [(others[0], 3), (others[1], 20)]
    assert first not in {one["grant_id"] for one in pool["grants"]}
    assert (await world.does(m.GetBalance(account=OWN, feature=HOURS)))["remaining"] == 0
    nobodys = m.GetBalance(account="team:team_9", feature=HOURS)
    assert (await world.refuses(nobodys))[0] == "no_account"


async def total(world: UnitsWorld, account: str = OWN, feature: str = HOURS) -> tuple[Any, Any]:
    """What remains of how much."""
    found = await world.does(m.GetBalance(account=account, feature=feature))
    return found["remaining"], found["total"]


async def test_a_grant_that_is_used_up_counts_until_it_ends(world: UnitsWorld) -> None:
    # 100 that expire first, and 420: with 491 used, 29 of 520 remain.
    tomorrow = NOON + timedelta(days=1)
    await world.grant(100, expires_at=tomorrow)
    await world.grant(420, expires_at=NOON + timedelta(days=2))
    await world.uses(491)
    assert await total(world) == (29, 520)
    await world.does(
        m.Reserve(command_id="reserve", consumer=ACME, feature=HOURS, quantity=29, ttl_seconds=60)
    )
    assert await total(world) == (0, 520)
    world.now = tomorrow
    assert await total(world) == (29, 420)


async def test_what_was_revoked_or_expired_does_not_count(world: UnitsWorld) -> None:
    grant_id = await world.grant(100, expires_at=NOON + timedelta(days=1))
    await world.grant(10)
    await world.uses(30)
    assert await total(world) == (80, 110)
    await world.does(m.RevokeGrant(command_id="revoke", grant_id=grant_id, reason="a mistake"))
    assert await total(world) == (10, 10)


async def test_a_used_up_grant_without_an_end_counts_in_its_cycle(world: UnitsWorld) -> None:
    # Bought and used up in January, when the plan gave 20; in February there is the plan's new grant alone.
    february = NOON.replace(month=2, day=1)
    await world.grant(100)
    await world.grant(20, expires_at=february)
    await world.bound.execute(ALLOTMENT.format(start="2026-01-01"))
    await world.uses(120)
    assert await total(world) == (0, 120)
    world.now = february
    await world.grant(20, expires_at=NOON.replace(month=3, day=1))
    assert await total(world) == (20, 120), "as long as the new cycle is not recorded"
    await world.bound.execute(ALLOTMENT.format(start="2026-02-01"))
    assert await total(world) == (20, 20)


async def test_the_total_of_a_consumer_and_of_a_limit(world: UnitsWorld) -> None:
    await world.grant(10, SEAT_OF_ANN)
    await world.grant(20, POOL)
    await world.uses(12, ANN)
    of_ann = await world.does(m.GetBalance(consumer=ANN, feature=HOURS))
    assert (of_ann["remaining"], of_ann["total"]) == (18, 30)
    await world.grant(5, feature=MEMBERS)
    await world.uses(5, feature=MEMBERS)
    assert await total(world, feature=MEMBERS) == (0, 5)
    await world.grant(None)
    assert await total(world) == (None, None)


ALLOTMENT = """
    INSERT INTO consumables.allotments AS old (subscription_id, slot, account, feature, multiplier, prorated,
        cycle_number, cycle_start, granted, grant_ids, next_at, closed)
    VALUES ('sub_1', 'hours.own.month', 'customer:organization_acme', 'hours', 1, false, 0, '{start}Z', 20,
        '{{}}', '2027-01-01', false)
    ON CONFLICT (subscription_id, slot, account) DO UPDATE SET cycle_start = excluded.cycle_start
"""
