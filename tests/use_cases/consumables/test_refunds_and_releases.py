"""Releases of limits, refunds of consumptions, and reservations."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from services.consumables.ledger.repository import OVERDUE_MAX
from tallystick.messages import consumables as m
from tallystick.messages.base import Command
from tests.support.runtime import NOON
from tests.support.worlds.balances import ACME, ANN, MEMBERS, OWN, POOL, SEAT_OF_ANN, UnitsWorld


@pytest.fixture
def world(units: UnitsWorld) -> UnitsWorld:
    return units


def release(world: UnitsWorld, quantity: int = 1) -> m.Release:
    return m.Release(command_id=world.command_id(), consumer=ACME, feature=MEMBERS, quantity=quantity)


def reserve(world: UnitsWorld, quantity: int, ttl_seconds: int = 600, **fields: Any) -> m.Reserve:
    known: dict[str, Any] = {"command_id": world.command_id(), "consumer": ACME, "feature": "hours"}
    return m.Reserve(quantity=quantity, ttl_seconds=ttl_seconds, **(known | fields))


def commit(world: UnitsWorld, reservation_id: str, quantity: int | None = None) -> m.CommitReservation:
    return m.CommitReservation(
        command_id=world.command_id(), reservation_id=reservation_id, quantity=quantity
    )


def give_back(world: UnitsWorld, reservation_id: str) -> m.ReleaseReservation:
    return m.ReleaseReservation(command_id=world.command_id(), reservation_id=reservation_id)


def refund(world: UnitsWorld, consumption: str, quantity: int | None = None) -> m.RefundConsumption:
    return m.RefundConsumption(command_id=world.command_id(), consumption_id=consumption, quantity=quantity)


async def standing(world: UnitsWorld, account: str = OWN, feature: str = "hours") -> tuple[int, ...]:
    """Granted, consumed, reserved, expired, remaining."""
    row = await world.balance(account, feature)
    return tuple(row[name] for name in ("granted", "consumed", "reserved", "expired", "remaining"))


async def test_a_full_limit_admits_one_for_each_release(world: UnitsWorld) -> None:
    await world.grant(10, feature=MEMBERS)
    assert await world.uses(10, feature=MEMBERS) == 0
    assert (await world.refuses(world.consume(feature=MEMBERS)))[0] == "insufficient_balance"
    assert await world.does(release(world)) == {"remaining": 1}
    assert await world.uses(feature=MEMBERS) == 0
    assert await world.refuses(release(world, 11)) == ("nothing_to_release", {"in_use": 10})
    assert await standing(world, feature=MEMBERS) == (10, 10, 0, 0, 0)


async def test_what_is_in_use_above_a_lowered_ceiling_is_freed_first(world: UnitsWorld) -> None:
    """10 of 3 + 7 are in use and the 7 are revoked: 7 must be released before there is room."""
    await world.grant(3, feature=MEMBERS)
    more = await world.grant(7, feature=MEMBERS)
    await world.uses(10, feature=MEMBERS)
    await world.does(m.RevokeGrant(command_id="revoke", grant_id=more, reason="A downgrade."))
    assert (await world.balance(feature=MEMBERS))["excess"] == 7
    assert await world.does(release(world, 7)) == {"remaining": 0}
    assert (await world.refuses(world.consume(feature=MEMBERS)))[0] == "insufficient_balance"
    assert await world.does(release(world)) == {"remaining": 1}
    assert await standing(world, feature=MEMBERS) == (10, 2, 0, 7, 1)


async def test_revoking_a_used_limit_grant_leaves_no_false_room(world: UnitsWorld) -> None:
    """5 of 3 + 7 are in use: without the 7 there is room for none, though 5 of them were free."""
    await world.grant(3, feature=MEMBERS)
    more = await world.grant(7, feature=MEMBERS)
    await world.uses(5, feature=MEMBERS)
    await world.does(m.RevokeGrant(command_id="revoke", grant_id=more, reason="A downgrade."))
    assert (await world.refuses(world.consume(feature=MEMBERS)))[1] == {"available": 0}
    await world.does(release(world, 2))
    assert (await world.refuses(world.consume(feature=MEMBERS)))[1] == {"available": 0}
    await world.does(release(world, 1))
    assert await world.uses(feature=MEMBERS) == 0


def at_one(world: UnitsWorld) -> None:
    """An hour later."""
    world.now = NOON + timedelta(hours=1)


@pytest.mark.parametrize("by_the_tick", [True, False])
async def test_used_places_of_an_expired_grant_exceed_the_ceiling(
    world: UnitsWorld, by_the_tick: bool
) -> None:
    """10 of 5 + 7 are in use when the 7 expire: 5 releases free nothing, and then there is room."""
    await world.grant(7, feature=MEMBERS, expires_at=NOON + timedelta(hours=1))
    await world.grant(5, feature=MEMBERS)
    assert await world.uses(10, feature=MEMBERS) == 2
    at_one(world)
    if by_the_tick:
        for _ in range(2):
            await world.bound.tick("expire_grants", world.now)
            assert (await world.balance(feature=MEMBERS))["excess"] == 5
    assert (await world.refuses(world.consume(feature=MEMBERS)))[1] == {"available": 0}
    assert await world.does(release(world, 5)) == {"remaining": 0}
    assert (await world.refuses(world.consume(feature=MEMBERS)))[1] == {"available": 0}
    assert await world.does(release(world, 5)) == {"remaining": 5}
    assert await standing(world, feature=MEMBERS) == (12, 0, 0, 7, 5)


async def test_places_of_an_expired_grant_are_freed_if_there_is_room(world: UnitsWorld) -> None:
    """The 5 in use are of the grant that expires. Of 10 more, 5 are left, and 10 once the 5 are released."""
    temporary = await world.grant(5, feature=MEMBERS, expires_at=NOON + timedelta(hours=1))
    await world.grant(10, feature=MEMBERS)
    assert await world.uses(5, feature=MEMBERS) == 10
    at_one(world)
    await world.bound.tick("expire_grants", world.now)
    assert await standing(world, feature=MEMBERS) == (15, 5, 0, 5, 5)
    assert await world.does(release(world, 5)) == {"remaining": 10}
    assert await world.uses(10, feature=MEMBERS) == 0
    await world.does(m.RevokeGrant(command_id="revoke", grant_id=temporary, reason="Again."))
    assert await standing(world, feature=MEMBERS) == (15, 10, 0, 5, 0)


async def test_reserved_places_count_when_their_grant_expires(world: UnitsWorld) -> None:
    await world.grant(4, feature=MEMBERS, expires_at=NOON + timedelta(hours=1))
    await world.grant(2, feature=MEMBERS)
    reserved = await world.does(reserve(world, 4, ttl_seconds=7_200, feature=MEMBERS))
    at_one(world)
    assert (await world.refuses(world.consume(feature=MEMBERS)))[1] == {"available": 0}
    assert await world.does(give_back(world, reserved["reservation_id"])) == {"remaining": 2}
    assert await standing(world, feature=MEMBERS) == (6, 0, 0, 4, 2)


async def test_places_in_use_count_once_unlimited_ends(world: UnitsWorld) -> None:
    """8 of an unlimited grant are in use beside 10: 2 are left when it expires, and 10 after 8 releases."""
    await world.grant(None, feature=MEMBERS, expires_at=NOON + timedelta(hours=1))
    await world.grant(10, feature=MEMBERS)
    assert await world.uses(8, feature=MEMBERS) is None
    at_one(world)
    await world.bound.tick("expire_grants", world.now)
    assert await standing(world, feature=MEMBERS) == (18, 8, 0, 8, 2)
    assert await world.does(release(world, 8)) == {"remaining": 10}
    assert await standing(world, feature=MEMBERS) == (18, 0, 0, 8, 10)


@pytest.mark.parametrize(("quantity", "used", "entries"), [(10, 4, [6]), (10, 10, []), (None, 4, [])])
async def test_a_revoked_grant_is_emitted_with_its_final_state(
    world: UnitsWorld, quantity: int | None, used: int, entries: list[int]
) -> None:
    grant_id = await world.grant(quantity)
    await world.uses(used)
    await world.events()
    command = m.RevokeGrant(command_id="revoke", grant_id=grant_id, reason="Granted twice.")
    grant = (await world.does(command))["grant"]
    [(name, event), *others] = await world.events()
    assert name == "revokedV1" and {other for other, _ in others} <= {"lowV1", "exhaustedV1"}
    assert event.grant is not None and event.grant.model_dump(mode="json") == grant
    assert (grant["grant_id"], grant["revoked"], grant["remaining"]) == (grant_id, True, 0)
    assert [entry.quantity for entry in event.entries] == entries
    assert event.caused_by == "revoke"


async def test_units_that_are_used_up_are_not_released(world: UnitsWorld) -> None:
    await world.grant(10)
    await world.uses(5)
    command = m.Release(command_id="r", consumer=ACME, feature="hours", quantity=1)
    assert await world.refuses(command) == ("nothing_to_release", {"in_use": 0})


async def test_a_final_cost_above_the_reservation_is_drawn_from_what_is_free(world: UnitsWorld) -> None:
    """10 of 12 are reserved; the job took 11 in the end, and can be refunded whole."""
    await world.grant(12)
    reserved = await world.does(reserve(world, 10))
    command = commit(world, reserved["reservation_id"], 11)
    assert await world.does(command) == {"consumed": 11, "remaining": 1}
    assert await standing(world) == (12, 11, 0, 0, 1)
    assert (await world.does(refund(world, command.command_id)))["refunded"] == 11
    assert await standing(world) == (12, 0, 0, 0, 12)


async def test_a_reservation_stays_open_when_its_final_cost_is_not_there(world: UnitsWorld) -> None:
    await world.grant(12)
    reservation_id = (await world.does(reserve(world, 10)))["reservation_id"]
    assert await world.refuses(commit(world, reservation_id, 13)) == (
        "insufficient_balance",
        {"available": 12},
    )
    assert await standing(world) == (12, 0, 10, 0, 2)
    command = commit(world, reservation_id, 13).model_copy(update={"partial": True})
    assert await world.does(command) == {"consumed": 12, "remaining": 0}


async def test_nothing_committed_releases_the_reservation(world: UnitsWorld) -> None:
    await world.grant(12)
    reservation_id = (await world.does(reserve(world, 10)))["reservation_id"]
    assert await world.does(commit(world, reservation_id, 0)) == {"consumed": 0, "remaining": 12}
    assert await world.refuses(commit(world, reservation_id)) == ("reservation_closed", {})


async def test_reserved_units_are_nobody_elses_and_can_be_used_in_part(world: UnitsWorld) -> None:
    await world.grant(10)
    reserved = await world.does(reserve(world, 10))
    assert (reserved["reserved"], reserved["remaining"]) == (10, 0)
    assert reserved["expires_at"] == "2026-01-15T12:10:00Z"
    assert (await world.refuses(world.consume(1)))[1] == {"available": 0}
    settled = await world.does(commit(world, reserved["reservation_id"], 4))
    assert settled == {"consumed": 4, "remaining": 6}
    assert await standing(world) == (10, 4, 0, 0, 6)
    assert [name for name, _ in (await world.events())[1:]] == [
        "reservedV1",
        "lowV1",
        "exhaustedV1",
        "releasedV1",
        "consumedV1",
    ]


@pytest.mark.parametrize("first", ["commit", "release"])
async def test_a_settled_reservation_is_closed(world: UnitsWorld, first: str) -> None:
    await world.grant(10)
    reservation_id = (await world.does(reserve(world, 5)))["reservation_id"]
    await world.does(commit(world, reservation_id) if first == "commit" else give_back(world, reservation_id))
    assert (await world.refuses(commit(world, reservation_id)))[0] == "reservation_closed"
    assert (await world.refuses(give_back(world, reservation_id)))[0] == "reservation_closed"
    assert await standing(world) == ((10, 5, 0, 0, 5) if first == "commit" else (10, 0, 0, 0, 10))


async def test_a_reservation_is_settled_once_by_whoever_is_first(world: UnitsWorld) -> None:
    await world.grant(10)
    reservation_id = (await world.does(reserve(world, 5)))["reservation_id"]
    wishes: list[Command[Any]] = [
        *(commit(world, reservation_id) for _ in range(5)),
        *(give_back(world, reservation_id) for _ in range(5)),
    ]
    outcomes = await asyncio.gather(*(world.outcome(wish) for wish in wishes))
    assert [outcome.status for outcome in outcomes].count("succeeded") == 1
    assert (await standing(world))[2] == 0


async def test_a_reservation_reports_what_remains_in_its_account(world: UnitsWorld) -> None:
    await world.grant(10, POOL)
    await world.grant(5, SEAT_OF_ANN)
    named, anywhere = [
        await world.does(reserve(world, 2, consumer=ANN, account=account)) for account in (POOL, None)
    ]
    assert (named["remaining"], anywhere["remaining"]) == (8, 11)
    used = commit(world, named["reservation_id"])
    assert await world.does(used) == {"consumed": 2, "remaining": 8 - 2}
    assert await world.does(refund(world, used.command_id)) == {"refunded": 2, "lapsed": 0, "remaining": 8}
    assert await world.does(give_back(world, anywhere["reservation_id"])) == {"remaining": 15}


async def test_an_expired_reservation_comes_back_by_the_tick(world: UnitsWorld) -> None:
    await world.grant(10)
    reservation_id = (await world.does(reserve(world, 10, ttl_seconds=60)))["reservation_id"]
    await world.bound.tick("expire_reservations", NOON + timedelta(seconds=59))
    assert await standing(world) == (10, 0, 10, 0, 0)
    for _ in range(2):
        await world.bound.tick("expire_reservations", NOON + timedelta(seconds=60))
        assert await standing(world) == (10, 0, 0, 0, 10)
    assert await world.entries("released") == [10]
    assert (await world.refuses(commit(world, reservation_id)))[0] == "reservation_expired"


async def test_an_expired_reservation_is_returned_before_the_tick(world: UnitsWorld) -> None:
    await world.grant(10)
    reservation_id = (await world.does(reserve(world, 10, ttl_seconds=60)))["reservation_id"]
    world.now = NOON + timedelta(seconds=60)
    assert await world.uses(3) == 7
    assert (await world.refuses(commit(world, reservation_id)))[0] == "reservation_expired"
    assert await standing(world) == (10, 3, 0, 0, 7)


async def test_an_expired_reservation_is_returned_among_many_others(
    world: UnitsWorld,
) -> None:
    """Another account has more expired reservations, and older ones, than one query looks at."""
    await world.grant(OVERDUE_MAX + 1)
    await world.grant(5, account=POOL)
    for _ in range(OVERDUE_MAX + 1):
        await world.does(reserve(world, 1, ttl_seconds=5, account=OWN))
    await world.does(reserve(world, 5, ttl_seconds=6, account=POOL))
    world.now = NOON + timedelta(seconds=10)
    assert await world.uses(5, ANN, account=POOL) == 0


async def test_a_late_commit_finds_everything_given_back(world: UnitsWorld) -> None:
    await world.grant(10)
    reservation_id = (await world.does(reserve(world, 10, ttl_seconds=60)))["reservation_id"]
    world.now = NOON + timedelta(seconds=61)
    assert (await world.refuses(commit(world, reservation_id)))[0] == "reservation_expired"
    assert await standing(world) == (10, 0, 0, 0, 10)


async def test_what_comes_back_to_an_expired_grant_expires_with_it(world: UnitsWorld) -> None:
    await world.grant(10, expires_at=NOON + timedelta(hours=1))
    reservation_id = (await world.does(reserve(world, 4, ttl_seconds=7_200)))["reservation_id"]
    world.now = NOON + timedelta(hours=1)
    await world.bound.tick("expire_grants", world.now)
    assert await standing(world) == (10, 0, 4, 6, 0)
    assert await world.does(commit(world, reservation_id, 1)) == {"consumed": 1, "remaining": 0}
    assert await standing(world) == (10, 1, 0, 9, 0)


async def test_a_consumption_is_refunded_in_parts_to_its_grants(world: UnitsWorld) -> None:
    """3 + 4 are drawn from two grants: 5 are refunded, 4 to the second, 1 to the first; then 2, then none."""
    first = await world.grant(3, SEAT_OF_ANN, priority=1)
    second = await world.grant(10, POOL)
    command = world.consume(7, ANN)
    await world.does(command)
    assert await world.does(refund(world, command.command_id, 5)) == {
        "refunded": 5,
        "lapsed": 0,
        "remaining": 11,
    }
    rows = await world.bound.rows("SELECT grant_id, remaining FROM consumables.grants")
    assert {row["grant_id"]: row["remaining"] for row in rows} == {first: 1, second: 10}
    assert await world.refuses(refund(world, command.command_id, 3)) == (
        "already_refunded",
        {"refundable": 2},
    )
    assert await world.does(refund(world, command.command_id)) == {
        "refunded": 2,
        "lapsed": 0,
        "remaining": 13,
    }
    assert (await world.refuses(refund(world, command.command_id)))[0] == "already_refunded"
    assert (await world.refuses(refund(world, "never-heard-of")))[0] == "not_found"
    usage = await world.bound.rows("SELECT sum(quantity) AS used FROM consumables.usage_days")
    assert usage == [{"used": 0}]


async def test_places_that_were_released_are_not_there_to_be_refunded(world: UnitsWorld) -> None:
    await world.grant(3, feature=MEMBERS)
    await world.grant(7, feature=MEMBERS, priority=200)
    command = world.consume(5, feature=MEMBERS)
    await world.does(command)
    await world.does(release(world, 4))
    assert await world.refuses(refund(world, command.command_id, 2)) == (
        "already_refunded",
        {"refundable": 1},
    )
    assert await world.does(refund(world, command.command_id)) == {
        "refunded": 1,
        "lapsed": 0,
        "remaining": 10,
    }
    assert (await world.refuses(refund(world, command.command_id)))[0] == "already_refunded"
    # Others' places stay theirs, as many as there are of them.
    assert await world.uses(6, feature=MEMBERS) == 4
    assert (await world.refuses(release(world, 7)))[0] == "nothing_to_release"


async def test_a_refund_twice_at_once_gives_back_once(world: UnitsWorld) -> None:
    await world.grant(10)
    command = world.consume(7)
    await world.does(command)
    wishes = [refund(world, command.command_id) for _ in range(8)]
    outcomes = await asyncio.gather(*(world.outcome(wish) for wish in wishes))
    assert [outcome.status for outcome in outcomes].count("succeeded") == 1
    assert await standing(world) == (10, 0, 0, 0, 10)


async def test_a_committed_reservation_is_refunded_like_consumption(world: UnitsWorld) -> None:
    await world.grant(10)
    reservation_id = (await world.does(reserve(world, 5)))["reservation_id"]
    command = commit(world, reservation_id, 3)
    await world.does(command)
    assert await world.does(refund(world, command.command_id)) == {
        "refunded": 3,
        "lapsed": 0,
        "remaining": 10,
    }


async def test_unlimited_units_come_back_to_nowhere(world: UnitsWorld) -> None:
    await world.grant(None)
    reservation_id = (await world.does(reserve(world, 5)))["reservation_id"]
    command = world.consume(7)
    await world.does(command)
    assert await world.does(commit(world, reservation_id, 2)) == {"consumed": 2, "remaining": None}
    await world.does(refund(world, command.command_id))
    balance = await world.balance()
    assert (balance["consumed"], balance["reserved"], balance["beyond"]) == (2, 0, 2)


async def test_a_refund_into_a_grant_that_has_ended_says_that_it_lapsed(world: UnitsWorld) -> None:
    """5 of one grant and 2 of another are refunded after the first has expired."""
    await world.grant(5, expires_at=NOON + timedelta(hours=1))
    await world.grant(10)
    command = world.consume(7)
    await world.does(command)
    world.now += timedelta(hours=2)
    assert await world.does(refund(world, command.command_id)) == {
        "refunded": 2,
        "lapsed": 5,
        "remaining": 10,
    }


async def test_a_grant_that_ends_in_the_past_is_rejected(world: UnitsWorld) -> None:
    for ends in (NOON, NOON - timedelta(days=1)):
        command = m.Grant(
            command_id=world.command_id(),
            account=OWN,
            feature="hours",
            quantity=1,
            expires_at=ends,
            reason="?",
        )
        code, details = await world.refuses(command)
        assert code == "invalid_message"
        assert details["fields"][0]["field"] == "expires_at"
