"""Refunded recharges: what is left of the units is taken back, and what was used is told."""

from typing import Any

import httpx
import pytest

from tallystick.messages import consumables as m
from tallystick.messages import subscriptions
from tests.support.worlds.recharges import ACCOUNT, FEATURE, RechargeWorld
from tests.support.worlds.subscriptions import ACME

# Raised by how the Stripe SDK calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
async def world(recharging: RechargeWorld) -> RechargeWorld:
    """An account whose only 50 units were recharged for 750.00."""
    await recharging.with_card()
    await recharging.has(0)
    command = m.Recharge(command_id=recharging.command_id(), account=ACCOUNT, feature=FEATURE, quantity=50)
    await recharging.does(command)
    await recharging.charges()
    await recharging.hears()
    return recharging


async def refunds(world: RechargeWorld, amount: int | None = None) -> dict[str, Any]:
    """Refund the recharge's invoice, and let the service hear of it."""
    invoice = await _invoice(world)
    refund = subscriptions.RefundInvoice(
        command_id=world.command_id(), invoice_id=invoice["invoice_id"], amount=amount, reason="asked for it"
    )
    made = await world.shop.does(refund)
    await world.hears()
    return made


async def _invoice(world: RechargeWorld) -> dict[str, Any]:
    page = await world.shop.asks(subscriptions.ListInvoices(customer=ACME))
    found: dict[str, Any] = page["items"][0]
    return found


async def by_hand(world: RechargeWorld, **fields: str) -> None:
    """Do something with the recharge's payment in Stripe's dashboard, and let the service hear of it."""
    stripe_invoice = (await _invoice(world))["stripe_invoice_id"]
    paid: Any = world.shop.stripe.v1.invoice_payments.list({"invoice": stripe_invoice}).data[0]
    page = f"{world.shop.stand_in.url}/payments/{paid.payment.payment_intent}"
    async with httpx.AsyncClient() as dashboard:
        assert (await dashboard.post(page, data=fields)).status_code == 303
    await world.shop.catches_up()
    await world.hears()


async def recharge(world: RechargeWorld) -> tuple[int, int, int]:
    """What was refunded, how many units were taken back, and how many of them were used."""
    (found,) = (await world.does(m.ListRecharges(account=ACCOUNT)))["items"]
    return found["amount_refunded"], found["units_taken_back"], found["units_used"]


async def test_what_is_left_is_taken_back_and_what_was_used_is_told(world: RechargeWorld) -> None:
    await world.uses(30)
    await refunds(world)
    assert await recharge(world) == (75_000, 20, 30)
    assert await world.remaining() == 0
    assert (await world.told())[-1] == ("refundedV1", 50, None)
    assert await world.refuses(world.wants(1)) == "insufficient_balance"
    entries = (await world.does(m.ListEntries(account=ACCOUNT)))["items"]
    told = sorted((entry["kind"], entry["quantity"]) for entry in entries)
    assert told == [("consumed", 30), ("granted", 50), ("revoked", 20)]


async def test_a_partial_refund_takes_its_part(world: RechargeWorld) -> None:
    await refunds(world, 25_000)
    assert await recharge(world) == (25_000, 16, 0)
    assert await world.remaining() == 34
    await world.uses(30)
    await refunds(world)
    assert await recharge(world) == (75_000, 20, 30)
    assert await world.remaining() == 0


async def test_heard_twice_and_late_it_is_taken_back_once(world: RechargeWorld) -> None:
    await refunds(world, 25_000)
    await refunds(world)
    before = await recharge(world)
    world.heard = 0
    await world.hears()
    assert await recharge(world) == before == (75_000, 50, 0)
    assert [name for name, _, _ in await world.told()].count("refundedV1") == 2


async def test_units_reserved_meanwhile_do_not_come_back(world: RechargeWorld) -> None:
    reserve = m.Reserve(
        command_id=world.command_id(),
        consumer=ACME,
        feature=FEATURE,
        quantity=15,
        account=ACCOUNT,
        ttl_seconds=600,
    )
    reservation = (await world.does(reserve))["reservation_id"]
    await refunds(world)
    assert await recharge(world) == (75_000, 35, 15)
    release = m.ReleaseReservation(command_id=world.command_id(), reservation_id=reservation)
    await world.does(release)
    assert await world.remaining() == 0


async def test_a_refund_that_fails_gives_the_units_again(world: RechargeWorld) -> None:
    await world.uses(30)
    made = (await refunds(world))["refund"]
    await by_hand(world, fail=made["stripe_refund_id"])
    assert await recharge(world) == (0, 0, 0)
    assert await world.remaining() == 20


async def test_a_dispute_takes_the_units_only_when_it_is_lost(world: RechargeWorld) -> None:
    await by_hand(world, dispute="1")
    assert await recharge(world) == (0, 0, 0)
    await by_hand(world, lose="1")
    assert await recharge(world) == (75_000, 50, 0)
    assert await world.remaining() == 0


async def test_a_refund_does_not_buy_the_units_again(world: RechargeWorld) -> None:
    await world.set_rule(threshold=20, recharge_quantity=50)
    await refunds(world)
    assert await world.charges() == 0
    assert (await world.does(m.GetAutoRecharge(account=ACCOUNT, feature=FEATURE)))["auto_recharge"][
        "spent"
    ] == {
        "amount": 0,
        "currency": "eur",
    }
