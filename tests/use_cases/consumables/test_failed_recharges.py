"""Failed, lost, voided or repeated charges: each recharge is paid and granted once, or not at all."""

from datetime import timedelta

import pytest

from tallystick.messages import consumables as m
from tests.support.worlds.recharges import ACCOUNT, FEATURE, RechargeWorld

# Raised by how the Stripe SDK calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def world(recharging: RechargeWorld) -> RechargeWorld:
    return recharging


async def test_three_failed_charges_in_a_row_suspend_the_rule(world: RechargeWorld) -> None:
    stripe_id = await world.with_card("pm_card_chargeCustomerFail")
    await world.has(1)
    await world.set_rule()
    for _ in range(5):
        await world.looks()
        await world.charges()
    assert await world.remaining() == 1
    failed = ("failedV1", 50, "payment_failed")
    assert await world.told() == [*[("requestedV1", 50, None), failed] * 3, ("skippedV1", 0, "suspended")]
    rule = (await world.does(m.GetAutoRecharge(account=ACCOUNT, feature=FEATURE)))["auto_recharge"]
    assert (rule["failures"], rule["suspended"]) == (3, True)

    world.takes_card(stripe_id, "pm_card_visa")
    rule = await world.set_rule()
    assert (rule["failures"], rule["suspended"]) == (0, False)
    await world.looks()
    await world.charges()
    assert await world.remaining() == 51
    assert world.paid_amounts(stripe_id) == [75_000]


async def test_a_failure_that_is_followed_by_a_payment_is_forgotten(world: RechargeWorld) -> None:
    stripe_id = await world.with_card("pm_card_chargeCustomerFail")
    await world.has(1)
    await world.set_rule(threshold=2)
    await world.looks()
    await world.charges()
    world.takes_card(stripe_id, "pm_card_visa")
    await world.looks()
    await world.charges()
    rule = (await world.does(m.GetAutoRecharge(account=ACCOUNT, feature=FEATURE)))["auto_recharge"]
    assert (rule["failures"], await world.remaining()) == (0, 51)


async def test_a_customer_without_a_card_is_a_failure(world: RechargeWorld) -> None:
    await world.shop.register()
    await world.has(1)
    await world.set_rule()
    await world.looks()
    await world.charges()
    assert (await world.told())[-1] == ("failedV1", 50, "payment_method_required")


async def test_nothing_is_charged_twice_whatever_comes_again(world: RechargeWorld) -> None:
    stripe_id = await world.with_card()
    await world.has(1)
    await world.set_rule()
    await world.looks()
    await world.charges()
    world.handled = 0
    await world.charges()
    world.heard = 0
    await world.hears()
    await world.shop.catches_up()
    await world.hears()
    assert await world.remaining() == 51
    assert world.paid_amounts(stripe_id) == [75_000]
    assert [name for name, _, _ in await world.told()] == ["requestedV1", "paidV1"]


async def test_a_crash_between_charge_and_grant_is_finished(world: RechargeWorld) -> None:
    stripe_id = await world.with_card()
    await world.has(1)
    await world.set_rule()
    await world.looks()
    # Stripe is away after the invoice was made: the worker cannot tell whether it was paid.
    world.shop.stand_in.goes_away_after(3)
    (row,) = await world.bound.rows("SELECT recharge_id FROM consumables.recharges")
    command = m.ChargeRecharge(command_id=row["recharge_id"], recharge_id=row["recharge_id"])
    outcome = await world.bound.handle(command, world.now)
    assert outcome.status == "failed"
    assert await world.remaining() == 1
    world.shop.stand_in.comes_back()
    await world.charges()
    assert await world.remaining() == 51
    assert world.paid_amounts(stripe_id) == [75_000]


async def test_a_charge_that_was_lost_on_its_way_is_made_later(world: RechargeWorld) -> None:
    stripe_id = await world.with_card()
    await world.has(1)
    await world.set_rule()
    await world.looks()
    world.handled = 1
    assert await world.charges() == 0
    await world.bound.tick("settle_recharges", world.now + timedelta(minutes=9))
    assert await world.charges() == 0
    for minutes in (10, 15):
        await world.bound.tick("settle_recharges", world.now + timedelta(minutes=minutes))
    assert await world.charges() == 2
    await world.bound.tick("settle_recharges", world.now + timedelta(minutes=20))
    assert await world.charges() == 0
    assert await world.remaining() == 51
    assert world.paid_amounts(stripe_id) == [75_000]


async def test_the_invoice_alone_brings_the_units(world: RechargeWorld) -> None:
    """The answer to the charge is lost: the invoice event says that it was paid."""
    await world.with_card()
    await world.has(1)
    await world.set_rule()
    await world.looks()
    await world.charges()
    # As if nothing of it had been recorded here.
    await world.bound.rows("UPDATE consumables.recharges SET status = 'failed', version = 2 RETURNING 1")
    await world.bound.rows("DELETE FROM consumables.grants WHERE key LIKE 'recharge/%%' RETURNING 1")
    await world.bound.rows(
        "UPDATE consumables.balances SET granted = granted - 50, remaining = remaining - 50 RETURNING 1"
    )
    await world.bound.rows("DELETE FROM consumables.outbox WHERE entity = 'recharge' RETURNING 1")
    await world.hears()
    assert await world.remaining() == 51
    assert await world.told() == [("paidV1", 50, None)]


async def test_an_invoice_that_was_made_void_fails_what_is_pending(world: RechargeWorld) -> None:
    """The answer to the charge is lost: the invoice event says that it was voided."""
    await world.with_card("pm_card_chargeCustomerFail")
    await world.has(1)
    await world.set_rule()
    await world.charges()
    # As if nothing of it had been recorded here.
    await world.bound.rows("UPDATE consumables.recharges SET status = 'pending', version = 1 RETURNING 1")
    await world.bound.rows("UPDATE consumables.auto_recharges SET failures = 0 RETURNING 1")
    await world.bound.rows(
        "DELETE FROM consumables.outbox WHERE entity = 'recharge' AND version = 2 RETURNING 1"
    )
    await world.shop.catches_up()
    await world.hears()
    assert await world.told() == [("requestedV1", 50, None), ("failedV1", 50, "payment_failed")]
    rule = (await world.does(m.GetAutoRecharge(account=ACCOUNT, feature=FEATURE)))["auto_recharge"]
    assert rule["failures"] == 1
    assert await world.remaining() == 1
