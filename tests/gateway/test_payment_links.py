"""Payment links by HTTP and on the operators' page, paid by a stranger."""

import httpx
import pytest

from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer
from tests.support.gateway import ADMIN, GatewaySystem
from tests.support.page_visitor import visiting
from tests.support.shop import Shop, fresh_id
from tests.support.waiting import eventually

API = "/api/v1/admin/payment-links"
OPERATOR = "organization_operations"

pytestmark = pytest.mark.timeout(180)


async def test_a_link_is_made_paid_and_deactivated(gateway: GatewaySystem, shop: Shop) -> None:
    email = f"{fresh_id('payer')}@example.com"
    async with gateway.http(OPERATOR, ADMIN) as http:
        wish = {"items": [{"price": "essential_monthly"}], "uses": 5}
        made = await http.post(API, json=wish)
        assert made.status_code == 201, made.text
        link = made.json()["payment_link"]
        assert link["customer"] is None

        async with httpx.AsyncClient() as stranger:
            for _ in range(2):
                page = (await stranger.get(link["url"])).headers["location"]
                paid = await stranger.post(page, data={"card_number": "4242424242424242", "email": email})
                assert paid.status_code == 303

        async def outcomes() -> list[str] | None:
            found = (await http.get(f"{API}/{link['payment_link_id']}/uses")).json()["items"]
            return sorted(use["outcome"] for use in found) if len(found) == 2 else None

        assert await eventually(outcomes) == ["accepted", "refunded"]
        uses = (await http.get(f"{API}/{link['payment_link_id']}/uses")).json()["items"]
        payer = Customer.model_validate(uses[0]["customer"])
        assert payer.type == "user"
        known = (await shop.billing.ask(m.GetCustomer(customer=payer))).customer
        assert known.email == email

        async def is_given_back() -> bool:
            plans = (await shop.billing.ask(m.ListSubscriptions(customer=payer))).items
            invoices = (await shop.billing.ask(m.ListInvoices(customer=payer))).items
            refunded = sorted(invoice.amount_refunded for invoice in invoices)
            return sorted(plan.status for plan in plans) == ["active", "canceled"] and refunded == [0, 4900]

        await eventually(is_given_back)
        assert (await http.get(f"{API}/plink_unknown/uses")).status_code == 404

        async with visiting(gateway, shop.acme, ADMIN) as visitor:
            shown = (await visitor.http.get("/admin/payment-links")).text
            assert payer.token in shown and "already_subscribed" in shown and "1 of 5" in shown
            form = await visitor.form("/admin/payment-links", "/admin/payment-links")
            more = form | {"price": "professional_monthly", "quantity": "", "uses": "3"}
            assert (await visitor.send("/admin/payment-links", more)).status_code == 303
            off = await visitor.form("/admin/payment-links", "/admin/payment-links/deactivate")
            assert (await visitor.send("/admin/payment-links/deactivate", off)).status_code == 303
        newest = (await http.get(API)).json()["items"][0]
        assert newest["customer"] is None
        assert (newest["items"][0]["price"], newest["uses_max"], newest["status"]) == (
            "professional_monthly",
            3,
            "deactivated",
        )
