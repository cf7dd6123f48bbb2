"""Refunds and disputes of a buyer reach the seller's ledger; ledger, invoice and Stripe agree."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.operations.audit import audit
from tallystick.messages import payouts as p
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer
from tests.support.shop import Shop, fresh_id
from tests.support.waiting import eventually
from tests.support.worlds.selling import PRICE, SHARE, account_of, balance_of, offers, onboards

pytestmark = pytest.mark.timeout(180)


async def becomes(shop: Shop, seller: Customer, wanted: tuple[int, int, int]) -> None:
    """Wait until the seller has this pending, available and paid out."""

    async def is_there() -> bool:
        assert await balance_of(shop, seller) == wanted
        return True

    await eventually(is_there)


async def paid_invoice(shop: Shop) -> m.InvoiceSnapshot:
    """The buyer's invoice."""

    async def is_paid() -> m.InvoiceSnapshot | None:
        items = (await shop.billing.ask(m.ListInvoices(customer=shop.acme))).items
        return next((one for one in items if one.status == "paid"), None)

    invoice: m.InvoiceSnapshot = await eventually(is_paid)
    return invoice


async def test_refunds_before_and_after_the_payout(shop: Shop) -> None:
    # 10.00, of which 8.50 are the seller's. 4.00 back: 5.10 are left. After the payout the rest: below zero.
    seller = Customer(type="organization", id=fresh_id("seller"))
    await shop.register()
    price = await offers(shop, seller)
    connect = p.ConnectAccount(command_id=fresh_id("connect"), customer=seller, country="DE")
    await onboards(shop, (await shop.billing.call(connect)).onboarding_url)
    await account_of(shop, seller)
    await shop.buys(price)
    await becomes(shop, seller, (SHARE, 0, 0))
    invoice = await paid_invoice(shop)

    async def refunds(amount: int | None) -> None:
        await shop.billing.call(
            m.RefundInvoice(
                command_id=fresh_id("refund"), invoice_id=invoice.invoice_id, amount=amount, reason="goodwill"
            )
        )

    await refunds(400)
    await becomes(shop, seller, (510, 0, 0))
    await shop.tick("payouts", "release_held", datetime.now(UTC) + timedelta(days=8))
    await becomes(shop, seller, (0, 510, 0))
    paid = await shop.billing.call(p.PayOut(command_id=fresh_id("pay"), customer=seller, reference="January"))
    assert (paid.payout.status, paid.payout.amount.amount) == ("paid", 510)
    await refunds(None)
    await becomes(shop, seller, (0, -510, 510))
    (charge,) = shop.stripe.v1.charges.list({"limit": 1}).data
    assert charge.amount_refunded == PRICE
    found = await audit(shop.system.stack.owner_url, shop.system.stack.nats.url, prefix="billing")
    assert {name: wrong for name, wrong in found.items() if wrong and "seller" in name} == {}
