"""Invoices as Stripe tells them: paid, voided, written off, and listed newest first."""

from typing import Any

from tallystick.messages import subscriptions as m
from tests.support.shop import GOOD_CARD, Shop
from tests.support.waiting import eventually


async def test_an_invoice_from_its_draft_to_its_payment(shop: Shop) -> None:
    # Studio, volume prices: 12 seats at 8.00 are 96.00; sent as an invoice and paid on its page.
    async with shop.feed() as told:
        made = await _billed_by_invoice(shop, "studio_monthly", 12)
        drafted = await eventually(lambda: _invoice(shop, "draft"))
        assert (drafted.number, drafted.total, drafted.amount_paid) == (None, 9600, 0)
        sent = shop.stripe.v1.invoices.finalize_invoice(made.latest_invoice)
        opened = await eventually(lambda: _invoice(shop, "open"))
        assert opened.invoice_id == drafted.invoice_id
        assert (opened.amount_due, opened.currency, opened.number) == (9600, "eur", sent.number)
        assert opened.hosted_invoice_url == sent.hosted_invoice_url
        (line,) = opened.lines
        assert (line.amount, line.quantity, line.price, line.proration) == (
            9600,
            12,
            "studio_monthly",
            False,
        )
        subscription = await shop.subscription()
        assert (opened.subscription_id, subscription.collection) == (subscription.subscription_id, "invoice")
        page = await shop.page(str(opened.hosted_invoice_url), card_number=GOOD_CARD)
        assert page.status_code == 303
        paid = await eventually(lambda: _invoice(shop, "paid"))
        assert (paid.amount_paid, paid.attempt_count) == (9600, 1)
        await shop.all_applied()
        await eventually(lambda: "paid" in told.names("invoice"))
        assert told.names("invoice")[0] == "created"
        assert told.names("invoice").count("created") == 1
        assert told.names("invoice").count("paid") == 1


async def test_a_voided_invoice_is_told_and_stays_in_the_history(shop: Shop) -> None:
    async with shop.feed() as told:
        made = await _billed_by_invoice(shop, "essential_monthly", 1)
        shop.stripe.v1.invoices.finalize_invoice(made.latest_invoice)
        await eventually(lambda: _invoice(shop, "open"))
        shop.stripe.v1.invoices.void_invoice(made.latest_invoice)
        voided = await eventually(lambda: _invoice(shop, "void"))
        assert (voided.total, voided.amount_paid) == (4900, 0)
        await eventually(lambda: told.names("invoice")[-1] == "voided")
        page = await shop.billing.ask(m.ListInvoices(customer=shop.acme))
        assert [invoice.invoice_id for invoice in page.items] == [voided.invoice_id]


async def test_an_uncollectible_invoice_is_shown_as_such(shop: Shop) -> None:
    made = await _billed_by_invoice(shop, "essential_monthly", 1)
    shop.stripe.v1.invoices.finalize_invoice(made.latest_invoice)
    shop.stripe.v1.invoices.mark_uncollectible(made.latest_invoice)
    written_off = await eventually(lambda: _invoice(shop, "uncollectible"))
    assert (written_off.amount_due, written_off.amount_paid) == (4900, 0)


async def _billed_by_invoice(shop: Shop, price: str, quantity: int) -> Any:
    """A subscription made in Stripe whose invoices are sent; the first one is still a draft."""
    registered = await shop.register()
    found = shop.stripe.v1.prices.list({"lookup_keys": [price]}).data[0]
    return shop.stripe.v1.subscriptions.create(
        {
            "customer": str(registered.stripe_customer_id),
            "items": [{"price": found.id, "quantity": quantity}],
            "collection_method": "send_invoice",
            "days_until_due": 30,
        }
    )


async def _invoice(shop: Shop, status: str) -> m.InvoiceSnapshot | None:
    found = await shop.billing.ask(m.ListInvoices(customer=shop.acme))
    return next((invoice for invoice in found.items if invoice.status == status), None)
