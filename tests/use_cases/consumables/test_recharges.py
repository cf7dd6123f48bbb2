"""Automatic and manual recharges, charged in the Stripe stand-in through subscriptions."""

import asyncio
from datetime import timedelta

import pytest

from tallystick.messages import consumables as m
from tallystick.messages.base import Customer
from tests.support.worlds.grants import ANN, POOL, Grants, gives, item, team_item
from tests.support.worlds.recharges import ACCOUNT, FEATURE, RechargeWorld

# Raised by how the Stripe SDK calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def world(recharging: RechargeWorld) -> RechargeWorld:
    return recharging


async def test_a_pool_below_its_threshold_buys_more_once(world: RechargeWorld) -> None:
    """100 − 30 − 40 − 20 = 10 is below 20: 50 more at 15.00 are 750.00, charged once; 60 remain."""
    stripe_id = await world.with_card()
    await world.has(100)
    await world.set_rule()
    assert [await world.uses(quantity) for quantity in (30, 40, 20)] == [70, 30, 10]
    assert await world.charges() == 1
    assert await world.remaining() == 60
    assert world.paid_amounts(stripe_id) == [75_000]
    assert await world.told() == [("requestedV1", 50, None), ("paidV1", 50, None)]
    (recharge,) = (await world.does(m.ListRecharges(account=ACCOUNT)))["items"]
    assert (recharge["status"], recharge["amount"]) == ("paid", {"amount": 75_000, "currency": "eur"})
    assert recharge["invoice_id"].startswith("inv_")


async def test_two_who_find_it_low_together_buy_once(world: RechargeWorld) -> None:
    stripe_id = await world.with_card()
    await world.has(26)
    await world.set_rule()
    await asyncio.gather(*[world.uses(1) for _ in range(8)], *[world.looks() for _ in range(8)])
    assert await world.charges() == 1
    assert await world.remaining() == 68
    assert world.paid_amounts(stripe_id) == [75_000]


async def test_a_refusal_finds_the_units_low_as_well(world: RechargeWorld) -> None:
    """5 are left and 6 are asked for: nothing is consumed, but more is bought."""
    stripe_id = await world.with_card()
    await world.has(5)
    await world.set_rule()
    assert await world.refuses(world.wants(6)) == "insufficient_balance"
    await world.charges()
    assert await world.remaining() == 55
    assert world.paid_amounts(stripe_id) == [75_000]


async def test_units_bought_by_hand_are_pending_until_they_are_paid(world: RechargeWorld) -> None:
    stripe_id = await world.with_card()
    await world.has(0)
    command = m.Recharge(command_id=world.command_id(), account=ACCOUNT, feature=FEATURE, quantity=3)
    assert (await world.does(command))["recharge"]["status"] == "pending"
    again = m.Recharge(command_id=world.command_id(), account=ACCOUNT, feature=FEATURE, quantity=3)
    assert await world.refuses(again) == "recharge_in_flight"
    assert await world.remaining() == 0
    await world.charges()
    assert await world.remaining() == 3
    assert world.paid_amounts(stripe_id) == [4_500]


async def test_recharges_are_listed_newest_first_page_by_page(world: RechargeWorld) -> None:
    await world.with_card()
    await world.has(0)
    await world.has(0, account=POOL)
    for quantity, account in ((1, ACCOUNT), (2, POOL), (3, ACCOUNT), (4, ACCOUNT)):
        command = m.Recharge(
            command_id=world.command_id(), account=account, feature=FEATURE, quantity=quantity
        )
        await world.does(command)
        await world.charges()
    found, cursor = [], None
    for length in (2, 1):
        page = await world.does(m.ListRecharges(account=ACCOUNT, limit=2, cursor=cursor))
        assert len(page["items"]) == length
        found += [one["quantity"] for one in page["items"]]
        cursor = page["next_cursor"]
    assert (found, cursor) == ([4, 3, 1], None)


async def test_units_that_expire_unused_are_bought_anew(world: RechargeWorld) -> None:
    stripe_id = await world.with_card()
    tomorrow = world.now + timedelta(days=1)
    await world.has(30, expires_at=tomorrow)
    await world.has(10)
    await world.set_rule()
    await world.bound.tick("expire_grants", tomorrow - timedelta(seconds=1))
    assert await world.charges() == 0
    await world.bound.tick("expire_grants", tomorrow)
    assert await world.charges() == 1
    assert await world.remaining() == 60
    assert world.paid_amounts(stripe_id) == [75_000]


async def test_units_that_expire_at_a_renewal_are_not_recharged(
    world: RechargeWorld,
) -> None:
    await world.with_card()
    told = Grants(world.bound)
    world.bound.now = world.now
    renewal = world.now + timedelta(days=31)
    await told.subscribed(item(gives(FEATURE, 30)))
    await world.set_rule()
    await world.bound.tick("expire_grants", renewal)
    assert await world.remaining() == 0
    assert await world.charges() == 0
    assert await told.names() == ["grantedV1", "expiredV1"], "neither low nor exhausted"


async def test_unlimited_units_are_not_bought(world: RechargeWorld) -> None:
    await world.with_card()
    await world.has(None)
    await world.set_rule()
    for _ in range(2):
        await world.looks()
    assert await world.charges() == 0
    assert await world.told() == [("skippedV1", 0, "unlimited")]


async def test_the_team_that_pays_is_charged_for_its_pool(world: RechargeWorld) -> None:
    stripe_id = await world.with_card()
    payer = Customer(type="organization", id="acme")
    await world.has(1, account="team:team_1", customer=payer)
    await world.set_rule(account="team:team_1")
    await world.looks(account="team:team_1")
    await world.charges()
    assert await world.remaining("team:team_1") == 51
    assert world.paid_amounts(stripe_id) == [75_000]


async def test_no_recharge_for_a_revoked_seat_or_closed_team(
    world: RechargeWorld,
) -> None:
    """Refunds and expiries may leave such an account low, but nobody could use more units."""
    stripe_id = await world.with_card()
    told = Grants(world.bound)
    world.bound.now = world.now
    plan = team_item(gives(FEATURE, 30, team_allowed=True), strategy="per_seat")
    await told.subscribed(plan)
    await told.team(strategy="per_seat")
    await told.seat(1, member=ANN)
    seat, tomorrow = "seat:seat_1", world.now + timedelta(days=1)
    await world.has(30, account=POOL, expires_at=tomorrow)
    for account in (seat, POOL):
        await world.set_rule(account=account)
    reserve = m.Reserve(
        command_id="reserve", consumer=ANN, feature=FEATURE, quantity=5, account=seat, ttl_seconds=60
    )
    await world.does(reserve)
    await told.seat(1, "revoked", ANN)
    await told.team(status="closed")

    await world.bound.tick("expire_reservations", tomorrow)
    await world.bound.tick("expire_grants", tomorrow)
    assert (await world.remaining(seat), await world.remaining(POOL)) == (0, 0)
    assert await world.charges() == 0
    for account in (seat, POOL):
        by_hand = m.Recharge(command_id=world.command_id(), account=account, feature=FEATURE, quantity=1)
        assert await world.refuses(by_hand) == "no_account"
    assert world.paid_amounts(stripe_id) == []
