"""Units of teams and seats: access, and changes with the seat."""

from collections.abc import Callable
from itertools import permutations

import pytest

from services.consumables.app import service
from tallystick.messages import consumables as m
from tests.support.runtime import Bound
from tests.support.worlds.grants import (
    ANN,
    BOB,
    JANUARY,
    OWN,
    POOL,
    Grants,
    day,
    gives,
    team_item,
)

SEAT = "seat:seat_1"


@pytest.fixture
def world(bind: Callable[..., Bound]) -> Grants:
    """The service on 1 January, before any event."""
    grants = Grants(bind(service))
    grants.at("2026-01-01")
    return grants


async def _seat_of_ten_in_january(world: Grants) -> None:
    plan = team_item(gives(quantity=10, team_allowed=True), strategy="per_seat")
    await world.subscribed(plan, **JANUARY)
    await world.team(strategy="per_seat")
    await world.seat(1, member=ANN)


async def test_the_owners_own_units_and_the_teams_are_separate(world: Grants) -> None:
    plan = team_item(gives(quantity=100, team_allowed=True), gives(quantity=10))
    await world.subscribed(plan, **JANUARY)
    assert (await world.remaining(OWN), await world.remaining(POOL)) == (10, 0)
    await world.team()
    assert (await world.remaining(OWN), await world.remaining(POOL)) == (10, 100)
    await world.seat(1, member=ANN)
    assert await world.access(POOL) == {"organization_acme", "user_ann"}
    assert await world.access(OWN) == set(), "nobody else draws on what is the owner's"


async def test_an_invited_strangers_units_wait_for_the_claim(world: Grants) -> None:
    plan = team_item(gives(quantity=10, team_allowed=True), strategy="per_seat")
    await world.subscribed(plan, **JANUARY)
    await world.team(strategy="per_seat")
    await world.seat(1, "pending", None)
    assert (await world.remaining(SEAT), await world.remaining(OWN)) == (0, 0)

    await world.seat(1, "claimed", BOB)
    assert (await world.remaining(SEAT), await world.remaining(OWN)) == (10, 0)
    assert await world.access(SEAT) == {"user_bob"}


async def test_a_multiplier_doubles_the_grants_of_its_seat(world: Grants) -> None:
    await _seat_of_ten_in_january(world)
    await world.seat(2, member=BOB, multiplier=2)
    assert (await world.remaining(SEAT), await world.remaining("seat:seat_2")) == (10, 20)

    world.at("2026-01-16T12:00")
    await world.seat(1, member=ANN, multiplier=2)
    assert await world.remaining(SEAT) == 20
    await world.seat(1, member=ANN, multiplier=1)
    assert await world.remaining(SEAT) == 10
    await world.renewed("2026-02-01", "2026-03-01")
    assert (await world.remaining(SEAT), await world.remaining("seat:seat_2")) == (10, 20)


async def test_a_prorated_multiplier_tops_up_the_rest_of_the_month(world: Grants) -> None:
    await _seat_of_ten_in_january(world)
    # Half of a month of 31 days: 5 of 10.
    world.at("2026-01-16T12:00")
    await world.seat(1, member=ANN, multiplier=2, prorated=True)
    assert await world.remaining(SEAT) == 15
    await world.renewed("2026-02-01", "2026-03-01")
    assert await world.remaining(SEAT) == 20


async def test_a_prorated_multiplier_does_not_cut_a_larger_plan(world: Grants) -> None:
    await _seat_of_ten_in_january(world)
    world.at("2026-01-16T12:00")
    await world.seat(1, member=ANN, multiplier=2, prorated=True)
    # 2 × 10 with the half of the first month; a larger plan makes them 2 × 30, as for every other seat.
    larger = team_item(gives(quantity=30, team_allowed=True), strategy="per_seat", product="large")
    await world.subscribed(larger)
    assert await world.remaining(SEAT) == 15 + 40
    await world.seat(1, member=ANN, multiplier=3, prorated=True)
    assert await world.remaining(SEAT) == 55 + 15, "asked for again, it is prorated again"


async def test_a_revoked_seat_has_nothing_and_gets_nothing(world: Grants) -> None:
    await _seat_of_ten_in_january(world)
    await world.seat(1, "revoked", ANN)
    assert await world.remaining(SEAT) == 0
    assert await world.access(SEAT) == set()
    assert (await world.bucket())["seat_seat_1.hours"]["remaining"] == 0
    await world.renewed("2026-02-01", "2026-03-01")
    assert await world.remaining(SEAT) == 0


async def test_places_that_a_revoked_seat_held_are_nobodys(world: Grants) -> None:
    places = gives("places", 3, kind="limit", team_allowed=True)
    await world.subscribed(team_item(places, strategy="per_seat", owner_seat="none"), **JANUARY)
    await world.team(strategy="per_seat")
    await world.seat(1, member=ANN)
    reserve = m.Reserve(command_id="hold", consumer=ANN, feature="places", quantity=2, ttl_seconds=60)
    outcome = await world.bound.handle(reserve, world.bound.now)
    assert outcome.status == "succeeded", outcome.error
    await world.seat(1, "revoked", ANN)
    await world.bound.tick("expire_reservations", day("2026-01-02"))
    balance = await world.balance(SEAT, "places")
    assert balance is not None
    assert (balance["reserved"], balance["remaining"], balance["expired"]) == (0, 0, 3)


async def test_what_is_left_of_a_seat_goes_along_to_its_new_holder(world: Grants) -> None:
    await _seat_of_ten_in_january(world)
    await world.seat(1, member=BOB)
    assert await world.remaining(SEAT) == 10
    assert await world.access(SEAT) == {"user_bob"}
    assert await world.access(POOL) == {"organization_acme", "user_bob"}


async def test_a_replaced_member_no_longer_draws_on_the_pool(
    world: Grants,
) -> None:
    await world.subscribed(team_item(gives(quantity=100, team_allowed=True)), **JANUARY)
    await world.team()
    await world.seat(1, member=ANN)
    await world.seat(2, member=BOB)
    assert await world.access(POOL) == {"organization_acme", "user_ann", "user_bob"}
    await world.seat(1, "pending", None, email="carl@example.com")
    assert await world.access(POOL) == {"organization_acme", "user_bob"}
    assert await world.access(SEAT) == set()


async def test_a_pool_serves_the_whole_team_until_it_is_closed(
    world: Grants,
) -> None:
    await world.subscribed(team_item(gives(quantity=100, team_allowed=True)), **JANUARY)
    await world.team(billing_manager=BOB)
    assert await world.access(POOL) == {"organization_acme", "user_bob"}
    await world.seat(1, member=ANN)
    await world.team(billing_manager=ANN)
    assert await world.access(POOL) == {"organization_acme", "user_ann"}
    await world.team(status="closed")
    assert await world.access(POOL) == set()


async def test_a_suspended_teams_accounts_are_suspended_and_restored(world: Grants) -> None:
    await _seat_of_ten_in_january(world)

    async def suspended() -> set[str]:
        rows = await world.bound.rows("SELECT account FROM consumables.accounts WHERE suspended")
        return {row["account"] for row in rows}

    await world.team(suspended=True)
    assert await suspended() == {POOL, SEAT}
    await world.seat(2, member=BOB)
    assert await suspended() == {POOL, SEAT, "seat:seat_2"}
    await world.team(suspended=False)
    assert await suspended() == set()
    assert await world.remaining(SEAT) == 10


async def test_in_whatever_order_it_is_heard_the_same_is_granted(world: Grants) -> None:
    plan = team_item(gives(quantity=10, team_allowed=True), gives(quantity=5), strategy="per_seat")
    for number, order in enumerate(permutations(range(4))):
        told = Grants(world.bound)
        told.at("2026-01-01")
        subscription = f"sub_{number}x"
        dated = {name: day(value) for name, value in JANUARY.items()}
        events = [
            told.subscription_event(plan, subscription_id=subscription, status="incomplete", **dated),
            told.subscription_event(subscription_id=subscription, status="active"),
            told.seat_event(100 + number, "pending", None, subscription_id=subscription),
            told.seat_event(100 + number, "claimed", ANN, multiplier=3, subscription_id=subscription),
        ]
        for index in order:
            await told.hears(events[index])
            await told.hears(events[index])
        assert await told.remaining(f"seat:seat_{100 + number}") == 30, order
    assert await world.remaining(OWN) == 5 * 24
