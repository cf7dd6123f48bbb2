"""Consumption: burn order, access, and the emitted events."""

import asyncio
from datetime import timedelta
from typing import Any

import orjson
import pytest

from shared.tuning import GROUP_COMMIT_MAX_ITEMS, MESSAGE_MAX_BYTES
from tallystick.messages import consumables as m
from tallystick.messages.base import Customer
from tallystick.subjects import BALANCES_BUCKET, CHANGE_FEED_STREAM
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


async def test_a_pool_is_drawn_on_by_all_its_members(world: UnitsWorld) -> None:
    """100: 30, 40 and 20 are used; 70, 30 and 10 remain."""
    grant_id = await world.grant(100, POOL)
    outcome = await world.does(world.consume(30, ANN))
    drawn = [{"account": POOL, "grant_id": grant_id, "quantity": 30}]
    assert outcome == {"consumed": 30, "remaining": 70, "drawn": drawn}
    assert [await world.uses(40, BOB), await world.uses(20, ACME)] == [30, 10]
    assert await world.entries("consumed", POOL) == [30, 40, 20]


async def test_a_seat_has_its_own_and_nobody_elses(world: UnitsWorld) -> None:
    """A seat of 10 that used 8 has 2; 3 more are refused, and Bob's seat is not touched."""
    await world.grant(10, SEAT_OF_ANN)
    await world.grant(10, SEAT_OF_BOB)
    assert await world.uses(8, ANN) == 2
    assert await world.refuses(world.consume(3, ANN)) == ("insufficient_balance", {"available": 2})
    assert await world.remaining(SEAT_OF_BOB) == 10
    assert await world.entries("consumed", SEAT_OF_ANN) == [8]


async def test_a_member_never_draws_on_the_owners_own(world: UnitsWorld) -> None:
    await world.grant(10, OWN)
    await world.grant(100, POOL)
    assert await world.uses(100, ANN) == 0
    assert (await world.refuses(world.consume(1, ANN)))[0] == "insufficient_balance"
    assert (await world.refuses(world.consume(1, ANN, account=OWN)))[0] == "no_account"
    assert await world.uses(10, ACME) == 0


async def test_units_are_drawn_across_accounts_in_burn_order(world: UnitsWorld) -> None:
    """Tomorrow's before those that never expire, the promotion before the plan's."""
    plan = await world.grant(5, SEAT_OF_ANN)
    promotion = await world.grant(5, POOL, priority=10)
    tomorrow = await world.grant(5, POOL, expires_at=NOON + timedelta(days=1))
    result = await world.does(world.consume(12, ANN))
    assert [(one["grant_id"], one["quantity"]) for one in result["drawn"]] == [
        (tomorrow, 5),
        (promotion, 5),
        (plan, 2),
    ]
    assert result["remaining"] == 3


async def test_a_named_account_alone_is_drawn_on(world: UnitsWorld) -> None:
    await world.grant(5, SEAT_OF_ANN)
    await world.grant(5, POOL)
    result = await world.does(world.consume(3, ANN, account=POOL))
    assert (result["drawn"][0]["account"], result["remaining"]) == (POOL, 2)
    assert (await world.refuses(world.consume(3, ANN, account=POOL)))[1] == {"available": 2}


async def test_part_of_it_is_taken_where_that_was_asked_for(world: UnitsWorld) -> None:
    await world.grant(5)
    assert (await world.does(world.consume(8, partial=True)))["consumed"] == 5
    assert await world.refuses(world.consume(8, partial=True)) == ("insufficient_balance", {"available": 0})


async def test_unlimited_stays_unlimited_and_what_is_used_is_recorded(world: UnitsWorld) -> None:
    await world.grant(None)
    assert await world.uses(1_000_000) is None
    balance = await world.balance()
    assert (balance["consumed"], balance["beyond"], balance["remaining"]) == (1_000_000, 1_000_000, 0)
    assert await world.entries("consumed") == [1_000_000]


async def test_limited_units_that_expire_go_before_the_unlimited_ones(world: UnitsWorld) -> None:
    await world.grant(None)
    await world.grant(3, expires_at=NOON + timedelta(days=1))
    drawn = (await world.does(world.consume(5)))["drawn"]
    assert [one["quantity"] for one in drawn] == [3, 2]
    balance = await world.balance()
    assert (balance["granted"], balance["beyond"], balance["consumed"]) == (3, 2, 5)


async def test_what_has_lapsed_is_gone_at_the_moment_of_use(world: UnitsWorld) -> None:
    await world.grant(5, expires_at=NOON + timedelta(hours=1))
    await world.grant(2)
    world.now = NOON + timedelta(hours=1)
    assert await world.refuses(world.consume(3)) == ("insufficient_balance", {"available": 2})
    assert await world.uses(2) == 0
    assert await world.entries("expired") == [5]
    balance = await world.balance()
    assert (balance["granted"], balance["consumed"], balance["expired"]) == (7, 2, 5)
    assert "expiredV1" in [name for name, _ in await world.events()]


@pytest.mark.parametrize(
    ("consumer", "feature", "code"),
    [
        (Customer(type="user", id="nobody"), HOURS, "no_account"),
        (ACME, "made_up", "unknown_feature"),
        (ACME, "reading", "unknown_feature"),
        (ACME, MEMBERS, "insufficient_balance"),
    ],
)
async def test_whoever_reaches_nothing_is_told_why(
    world: UnitsWorld, consumer: Customer, feature: str, code: str
) -> None:
    await world.grant(5)
    assert (await world.refuses(world.consume(1, consumer, feature=feature)))[0] == code


async def test_suspended_accounts_are_not_drawn_on(world: UnitsWorld) -> None:
    await world.grant(5, POOL)
    await world.grant(5, OWN)
    await world.bound.execute(
        "UPDATE consumables.accounts SET suspended = true WHERE account = 'team:team_1'"
    )
    assert (await world.refuses(world.consume(1, ANN)))[0] == "account_suspended"
    # The owner still has their own.
    assert (await world.refuses(world.consume(6, ACME)))[1] == {"available": 5}
    assert await world.uses(5, ACME) == 0


async def test_a_commit_tells_of_a_balance_once_with_all_its_entries(world: UnitsWorld) -> None:
    """Of 100, 30 and 40 in one commit are one event; 20 leave 10, less than a fifth; then nothing is left."""
    await world.grant(100, POOL)
    await world.events()
    first = [world.consume(30, ANN, metadata={"call": "1"}), world.consume(40, BOB)]
    await asyncio.gather(*(world.does(command) for command in first))
    [(name, event)] = await world.events()
    assert (name, event.version, event.customer, event.caused_by) == (
        "consumedV1",
        2,
        ACME,
        first[0].command_id,
    )
    assert (event.consumable.granted, event.consumable.consumed, event.consumable.remaining) == (100, 70, 30)
    told = [(entry.quantity, entry.consumer, entry.caused_by, entry.metadata) for entry in event.entries]
    assert told == [
        (30, ANN, first[0].command_id, {"call": "1"}),
        (40, BOB, first[1].command_id, None),
    ]
    assert await world.uses(20) == 10
    assert [(name, event.version) for name, event in await world.events()] == [
        ("consumedV1", 3),
        ("lowV1", 4),
    ]
    assert await world.uses(10) == 0
    assert [name for name, _ in await world.events()] == ["consumedV1", "exhaustedV1"]


async def test_what_is_low_says_which_command_made_it_so(world: UnitsWorld) -> None:
    """Two commands at one moment, each about a balance of its own."""
    await world.grant(100)
    await world.grant(100, POOL)
    await world.events()
    commands = [world.consume(1, account=OWN), world.consume(90, ANN, account=POOL)]
    await asyncio.gather(*(world.does(command) for command in commands))
    told = {(name, event.consumable.account): event.caused_by for name, event in await world.events()}
    assert told == {
        ("consumedV1", OWN): commands[0].command_id,
        ("consumedV1", POOL): commands[1].command_id,
        ("lowV1", POOL): commands[1].command_id,
    }


async def test_a_commit_puts_each_balance_in_the_bucket_once(world: UnitsWorld) -> None:
    await world.grant(100, POOL)
    await asyncio.gather(*(world.does(world.consume(2, ANN)) for _ in range(10)))
    puts = await world.bound.outbox(f"KV_{BALANCES_BUCKET}")
    assert [row["subject"] for row in puts] == ["$KV.billing_balances.team_team_1.hours"] * 2
    assert bytes(puts[-1]["payload"]) == b'{"remaining":80,"version":2}'


async def test_a_grant_writes_its_balance_to_the_bucket_once(
    world: UnitsWorld,
) -> None:
    """7 of 3 + 7 places were revoked while 10 were in use: 9 more leave 2 free."""
    await world.grant(3, feature=MEMBERS)
    more = await world.grant(7, feature=MEMBERS)
    await world.uses(10, feature=MEMBERS)
    await world.does(m.RevokeGrant(command_id="revoke", grant_id=more, reason="A downgrade."))
    before = len(await world.bound.outbox(f"KV_{BALANCES_BUCKET}"))
    await world.grant(9, feature=MEMBERS)
    (put,) = (await world.bound.outbox(f"KV_{BALANCES_BUCKET}"))[before:]
    version = (await world.balance(feature=MEMBERS))["version"]
    assert orjson.loads(put["payload"]) == {"remaining": 2, "version": version}


async def test_two_thousand_at_once_against_1500_get_exactly_1500(world: UnitsWorld) -> None:
    await world.grant(1_500, POOL)
    outcomes = await asyncio.gather(*(world.outcome(world.consume(1, ANN)) for _ in range(2_000)))
    codes = [outcome.error.code if outcome.error else "succeeded" for outcome in outcomes]
    assert codes.count("succeeded") == 1_500
    assert codes.count("insufficient_balance") == 500
    balance = await world.balance(POOL)
    assert (balance["granted"], balance["consumed"], balance["remaining"]) == (1_500, 1_500, 0)
    assert sum(await world.entries("granted", POOL)) == sum(await world.entries("consumed", POOL))


async def test_whoever_asks_for_very_much_keeps_nobody_else_waiting(world: UnitsWorld) -> None:
    await world.grant(2_000, POOL)
    await world.grant(10, SEAT_OF_BOB)
    done: list[Customer] = []

    async def use(who: Customer) -> None:
        await world.uses(1, who)
        done.append(who)

    await asyncio.gather(*(use(ANN) for _ in range(1_100)), use(BOB))
    assert done.index(BOB) < 2 * GROUP_COMMIT_MAX_ITEMS, "he came last, and was in the second group"


async def test_the_same_command_a_hundred_times_is_one_entry(world: UnitsWorld) -> None:
    await world.grant(100)
    command = world.consume(7)
    first = await asyncio.gather(*(world.outcome(command) for _ in range(50)))
    later = [await world.outcome(command) for _ in range(50)]
    assert {outcome.to_json() for outcome in [*first, *later]} == {first[0].to_json()}
    assert await world.entries("consumed") == [7]
    changed = command.model_copy(update={"quantity": 8})
    assert (await world.refuses(changed))[0] == "idempotency_conflict"


async def test_an_insufficient_one_affects_no_neighbour(world: UnitsWorld) -> None:
    await world.grant(10)
    commands = [world.consume(quantity) for quantity in (4, 7, 5, 2, 1)]
    outcomes = await asyncio.gather(*(world.outcome(command) for command in commands))
    assert [outcome.status for outcome in outcomes] == [
        "succeeded",
        "rejected",
        "succeeded",
        "rejected",
        "succeeded",
    ]
    assert await world.remaining() == 0


async def test_usage_is_kept_by_day_and_consumer(world: UnitsWorld) -> None:
    await world.grant(100, POOL)
    await asyncio.gather(*(world.does(world.consume(3, who)) for who in (ANN, BOB, ANN)))
    world.now = NOON + timedelta(days=1)
    await world.uses(5, ANN)
    rows = await world.bound.rows(
        """SELECT customer, day::date::text AS day, consumer, quantity
           FROM consumables.usage_days ORDER BY day, consumer"""
    )
    assert [tuple(row.values()) for row in rows] == [
        ("organization_acme", "2026-01-15", "user_ann", 6),
        ("organization_acme", "2026-01-15", "user_bob", 3),
        ("organization_acme", "2026-01-16", "user_ann", 5),
    ]


@pytest.mark.parametrize(
    ("account", "feature", "code"),
    [
        ("team:team_9", HOURS, "no_account"),
        (OWN, "made_up", "unknown_feature"),
        (OWN, "reading", "unknown_feature"),
    ],
)
async def test_nothing_is_granted_to_the_unknown(
    world: UnitsWorld, account: str, feature: str, code: str
) -> None:
    command = m.Grant(
        command_id="g", account=account, feature=feature, quantity=1, reason="A typo, for example."
    )
    assert (await world.refuses(command))[0] == code


async def test_a_grant_is_revoked_once_and_what_was_used_stays_used(world: UnitsWorld) -> None:
    grant_id = await world.grant(10)
    await world.uses(4)
    await world.events()
    command: Any = m.RevokeGrant(command_id="r1", grant_id=grant_id, reason="Granted twice.")
    revoked = (await world.does(command))["grant"]
    assert (revoked["remaining"], revoked["revoked"], revoked["version"]) == (0, True, 3)
    again = m.RevokeGrant(command_id="r2", grant_id=grant_id, reason="Granted twice.")
    assert (await world.does(again))["grant"] == revoked
    assert [name for name, _ in await world.events()] == ["revokedV1", "lowV1", "exhaustedV1"]
    balance = await world.balance()
    assert (balance["consumed"], balance["expired"], balance["remaining"]) == (4, 6, 0)
    unknown = m.RevokeGrant(command_id="r3", grant_id="grant_0", reason="?")
    assert (await world.refuses(unknown))[0] == "not_found"


MUCH_TO_TELL = {f"note-{number}": "x" * 500 for number in range(50)}


async def test_usage_events_stay_within_the_size_limit_of_nats(world: UnitsWorld) -> None:
    """64 × 25 KB."""
    await world.grant(100)
    commands = [world.consume(1, metadata=MUCH_TO_TELL) for _ in range(64)]
    outcomes = await asyncio.gather(*(world.outcome(command) for command in commands))
    assert {outcome.status for outcome in outcomes} == {"succeeded"}
    assert await world.remaining() == 36
    told = await world.bound.outbox(CHANGE_FEED_STREAM)
    assert max(len(row["payload"]) for row in told) <= MESSAGE_MAX_BYTES
    assert sum(len(event.entries) for name, event in await world.events() if name == "consumedV1") == 64


async def test_what_no_event_could_tell_is_refused_and_has_no_effect(world: UnitsWorld) -> None:
    """60 grants, and metadata of 25 KB for the units from each."""
    for _ in range(60):
        await world.grant(1)
    code, _ = await world.refuses(world.consume(60, metadata=MUCH_TO_TELL))
    assert code == "invalid_message"
    assert (await world.remaining(), await world.entries("consumed")) == (60, [])
    assert await world.uses(60) == 0
