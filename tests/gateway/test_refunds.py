"""Refunds and disputes by HTTP and on the operators' pages."""

import httpx
import pytest

from tallystick.messages import subscriptions as m
from tests.support.gateway import ADMIN, GatewaySystem
from tests.support.page_visitor import visiting
from tests.support.shop import Shop
from tests.support.waiting import eventually

API = "/api/v1/admin"
OPERATOR = "organization_operations"

pytestmark = pytest.mark.timeout(180)


async def paid_invoice(shop: Shop) -> m.InvoiceSnapshot:
    """The customer's paid invoice, once it is known."""

    async def found() -> m.InvoiceSnapshot | None:
        page = await shop.billing.ask(m.ListInvoices(customer=shop.acme))
        return next((invoice for invoice in page.items if invoice.status == "paid"), None)

    invoice: m.InvoiceSnapshot = await eventually(found)
    return invoice


def payment_page(shop: Shop, invoice: m.InvoiceSnapshot) -> str:
    """The address of the payment in Stripe's dashboard."""
    payments = shop.stripe.v1.invoice_payments.list({"invoice": invoice.stripe_invoice_id})
    return f"{shop.system.stripe_url}/payments/{payments.data[0].payment.payment_intent}"


async def test_an_operator_refunds_an_invoice_and_sees_a_dispute(gateway: GatewaySystem, shop: Shop) -> None:
    await shop.register()
    await shop.buys("essential_monthly")  # 49.00
    invoice = await paid_invoice(shop)
    async with gateway.http(OPERATOR, ADMIN) as http:
        url = f"{API}/invoices/{invoice.invoice_id}/refund"
        made = await http.post(url, json={"amount": 900, "reason": "by HTTP"})
        assert made.status_code == 201, made.text
        assert made.json()["refund"]["amount"] == {"amount": 900, "currency": "eur"}
        too_much = await http.post(url, json={"amount": 4001, "reason": "by HTTP"})
        assert (too_much.status_code, too_much.json()["details"]["left"]) == (400, 4000)
        listed = await http.get(f"{API}/refunds", params={"customer": shop.acme.token})
        assert [refund["reason"] for refund in listed.json()["items"]] == ["by HTTP"]

        page = f"/admin/customers/{shop.acme.token}"
        async with visiting(gateway, shop.acme, ADMIN) as visitor:
            form = await visitor.form(page, f"{page}/refund")
            sent = form | {"amount": "10.50", "reason": "by hand"}
            sent.pop("end_subscription")
            done = await visitor.send(f"{page}/refund", sent)
            assert (done.status_code, done.headers["location"]) == (303, f"{page}?done=refunded#invoices")
            shown = (await visitor.http.get(page)).text
            assert "by hand" in shown and "€19.50" in shown
            refused = await visitor.send(f"{page}/refund", await visitor.form(page, f"{page}/refund") | {
                "amount": "49.00", "reason": "too much"
            })  # fmt: skip
            assert "That is more than is left of what was paid." in refused.text

            payment = payment_page(shop, invoice)
            async with httpx.AsyncClient() as dashboard:
                await dashboard.post(payment, data={"dispute": "1", "reason": "fraudulent"})

            async def is_disputed() -> bool:
                disputes = await http.get(f"{API}/disputes", params={"customer": shop.acme.token})
                return [one["status"] for one in disputes.json()["items"]] == ["open"]

            await eventually(is_disputed)
            assert "disputed" in (await visitor.http.get(page)).text
            overview = (await visitor.http.get("/admin")).text
            assert "Refunds and disputes" in overview and "fraudulent" in overview
