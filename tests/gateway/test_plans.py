"""Plans over HTTP: listed, bought, previewed, changed, canceled and reactivated."""

import base64
import hashlib
from datetime import timedelta
from typing import Any

import pytest

from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer
from tests.support.gateway import GatewaySystem
from tests.support.page_visitor import visiting
from tests.support.shop import CANCEL_URL, GOOD_CARD, SUCCESS_URL, Shop, fresh_id
from tests.support.waiting import eventually

API = "/api/v1/billing"

pytestmark = pytest.mark.timeout(180)


async def test_a_plan_from_the_checkout_to_its_end(gateway: GatewaySystem, shop: Shop) -> None:
    await shop.register()
    async with gateway.http(shop.acme) as http:
        none = await http.get(f"{API}/subscription")
        assert (none.status_code, none.json()["code"]) == (404, "not_found")
        tiers = (await http.get(f"{API}/tiers")).json()["tiers"]
        assert "essential_monthly" in {price["code"] for tier in tiers for price in tier["prices"]}

        urls = {"success_url": SUCCESS_URL, "cancel_url": CANCEL_URL}
        wish = {"items": [{"price": "essential_monthly"}], "trial": False, **urls}
        started = await http.post(f"{API}/checkout", json=wish)
        assert started.status_code == 201, started.text
        await shop.page(started.json()["checkout_url"], card_number=GOOD_CARD)
        await shop.becomes("active")

        found = (await http.get(f"{API}/subscription")).json()
        assert found["subscription"]["items"][0]["price"] == "essential_monthly"
        assert isinstance(found["usage"], list)

        async def is_paid() -> bool:
            invoices = (await http.get(f"{API}/invoices")).json()["items"]
            return [(invoice["status"], invoice["total"]) for invoice in invoices] == [("paid", 4900)]

        # The subscription is active before the event of its invoice has been applied.
        await eventually(is_paid)
        assert (await http.get(f"{API}/upcoming-invoice")).json()["invoice"]["total"] == 4900

        change = {"price": "professional_monthly"}
        preview = (await http.post(f"{API}/preview-change", json=change)).json()
        assert preview["next_invoice"]["amount"] >= 9900
        changed = await http.post(f"{API}/change-tier", json=change)
        assert changed.status_code == 200, changed.text
        assert changed.json()["subscription"]["items"][0]["price"] == "professional_monthly"

        ending = await http.post(f"{API}/cancel")
        assert ending.json()["subscription"]["cancel_at_period_end"] is True
        kept = await http.post(f"{API}/reactivate")
        assert kept.json()["subscription"]["cancel_at_period_end"] is False
        again = await http.post(f"{API}/reactivate")
        assert (again.status_code, again.json()["code"]) == (400, "subscription_not_canceling")
        portal = await http.post(f"{API}/portal", json={"return_url": SUCCESS_URL})
        assert portal.status_code == 201 and portal.json()["portal_url"].startswith("http")


async def test_the_page_says_what_staff_agreed_in_stripe(gateway: GatewaySystem, shop: Shop) -> None:
    await shop.register()
    bought = await shop.buys("essential_monthly")
    assert bought.stripe_subscription_id is not None and bought.current_period_end is not None
    ends = bought.current_period_end - timedelta(days=10)
    v1 = shop.stripe.v1
    [item] = v1.subscriptions.retrieve(bought.stripe_subscription_id)["items"].data
    price: Any = {"product": item.price.product, "currency": "eur", "unit_amount": 3100}
    made = v1.prices.create(price | {"recurring": {"interval": "month"}})
    agreed: Any = {
        "items": [{"id": item.id, "price": made.id}],
        "cancel_at": int(ends.timestamp()),
        "proration_behavior": "none",
    }
    v1.subscriptions.update(bought.stripe_subscription_id, agreed)

    async def told() -> m.SubscriptionSnapshot | None:
        now = await shop.subscription()
        return now if now.items[0].custom_price is not None and now.cancel_at is not None else None

    now: m.SubscriptionSnapshot = await eventually(told)
    assert (now.items[0].product, now.cancel_at) == ("essential", ends)
    async with visiting(gateway, shop.acme) as visitor:
        page = (await visitor.http.get("/billing")).text
        assert "€31.00 a month" in page
        assert f"Ends on {ends:%B} {ends.day}, {ends.year}." in " ".join(page.split())
        assert "Keep the plan" in page


async def test_a_command_id_combines_customer_and_idempotency_key(gateway: GatewaySystem, shop: Shop) -> None:
    await shop.register()
    items = [m.ItemToBuy(price="essential_monthly")]
    command_id = fresh_id("plan")
    await shop.billing.call(
        m.CreateSubscription(command_id=command_id, customer=shop.acme, items=items, collection="none")
    )
    key: dict[str, Any] = {"Idempotency-Key": fresh_id("key")}
    async with gateway.http(shop.acme) as http, shop.feed() as told:
        first = await http.post(f"{API}/cancel", headers=key)
        again = await http.post(f"{API}/cancel", headers=key)
        assert first.status_code == again.status_code == 200
        assert first.json() == again.json()
        other = await http.post(f"{API}/cancel", headers=key, json={"at": "now"})
        assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
        await eventually(lambda: "cancelScheduled" in told.names("subscription"))
    causes = {event.event: event.body["caused_by"] for event in told.of("subscription")}
    assert causes["created"] == command_id
    content = f"{shop.acme.token}\n{key['Idempotency-Key']}".encode()
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode()
    assert causes["cancelScheduled"] == f"http_{digest.removesuffix('=')}"


async def test_a_key_of_one_customer_is_none_of_anothers(gateway: GatewaySystem, shop: Shop) -> None:
    await shop.register()
    key = {"Idempotency-Key": fresh_id("key")}
    stranger = Customer(type="organization", id=fresh_id("stranger"))
    async with gateway.http(stranger) as squatter:
        refused = await squatter.post(f"{API}/cancel", headers=key)
        assert refused.json()["code"] == "not_found"
    async with gateway.http(shop.acme) as http:
        answer = await http.post(f"{API}/cancel", headers=key)
    assert answer.json()["code"] == "not_found", "not a conflict with a command of somebody else's"
