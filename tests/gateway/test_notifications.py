"""Mails and webhooks over HTTP: preferences by a link from a mail, and a customer's webhook endpoints."""

from typing import Any

import pytest

from tallystick.messages.notifications import GetPreferences, Kind, ListEndpoints
from tests.support.gateway import MANAGE, READ, GatewaySystem
from tests.support.page_visitor import Visitor, visiting
from tests.support.shop import Shop, fresh_id
from tests.support.shop_steps import opens
from tests.support.waiting import eventually
from tests.support.webhook_receiver import webhook_receiver

pytestmark = pytest.mark.timeout(180)

ENDPOINTS = "/api/v1/billing/webhook-endpoints"


async def first_mail(shop: Shop, address: str, subject: str) -> dict[str, Any]:
    """The newest mail to an address with words in its subject."""

    async def found() -> dict[str, Any] | None:
        query = {"to": address, "subject": subject}
        answer = await shop.browser.get(f"{shop.system.mailbox_url}/api/messages", params=query)
        return next(iter(answer.raise_for_status().json()), None)

    mail: dict[str, Any] = await eventually(found)
    return mail


async def page_with(visitor: Visitor, path: str, words: str) -> str | None:
    """A page, once it has some words."""
    text = (await visitor.http.get(path)).text
    return text if words in text else None


def path_of(link: str) -> str:
    """The path of a link in a mail, whose host is that of another gateway."""
    return "/" + link.split("/", 3)[3]


async def wants(shop: Shop, kind: Kind) -> bool:
    """Whether the customer wants a kind of mail."""
    return (await shop.billing.ask(GetPreferences(customer=shop.acme))).preferences.kinds[kind]


async def test_a_link_from_a_mail_opens_preferences_without_a_sign_in(
    shop: Shop, gateway: GatewaySystem
) -> None:
    address = f"{fresh_id('pay')}@example.com"
    await shop.register(email=address)
    await opens(shop, 3, collection="none")
    mail = await first_mail(shop, address, "Welcome")
    unsubscribe = path_of(mail["headers"]["List-Unsubscribe"].strip("<>"))
    preferences = unsubscribe.removesuffix("/unsubscribe")
    async with gateway.http() as browser:
        page = await browser.get(preferences)
        assert page.status_code == 200
        assert "A subscription has started" in page.text
        # Programs that check mails open every link; that changes nothing.
        assert (await browser.get(unsubscribe)).status_code == 200
        assert await wants(shop, "subscription_started")
        one_click = await browser.post(unsubscribe, data={"List-Unsubscribe": "One-Click"})
        assert one_click.status_code == 200
        assert not await wants(shop, "subscription_started")
        assert await wants(shop, "trial_ending")
        form = {"kinds": ["subscription_started"], "language": "de"}
        assert (await browser.post(preferences, data=form)).status_code == 303
        assert (await browser.get("/notifications/forged.token")).status_code == 404
    async with gateway.http(shop.acme, READ) as caller:
        found = (await caller.get("/api/v1/billing/notifications/preferences")).json()["preferences"]
    assert found["language"] == "de"
    assert [kind for kind, is_on in found["kinds"].items() if is_on] == ["subscription_started"]


async def test_a_customer_sees_tests_rotates_and_deletes_an_endpoint(
    shop: Shop, gateway: GatewaySystem
) -> None:
    await shop.register()
    async with webhook_receiver() as receiver, gateway.http(shop.acme, MANAGE) as caller:
        body = {"url": receiver.url(), "events": ["customer.*"]}
        created = (await caller.post(ENDPOINTS, json=body)).json()
        endpoint_id = created["endpoint"]["endpoint_id"]
        assert created["secret"].startswith("whsec_")
        listed = (await caller.get(ENDPOINTS)).json()["items"]
        assert [one["endpoint_id"] for one in listed] == [endpoint_id]
        tested = await caller.post(f"{ENDPOINTS}/{endpoint_id}/test")
        assert tested.json()["delivery"]["type"] == "endpoint.test"
        await eventually(lambda: receiver.count == 1)
        await shop.register(name="Acme & Sons")
        await eventually(lambda: receiver.count == 2)
        deliveries = (await caller.get(f"{ENDPOINTS}/{endpoint_id}/deliveries")).json()["items"]
        assert [one["type"] for one in deliveries] == ["customer.updated", "endpoint.test"]
        again = {"event_ids": [deliveries[0]["event_id"]]}
        assert (await caller.post(f"{ENDPOINTS}/{endpoint_id}/redeliver", json=again)).status_code == 200
        await eventually(lambda: receiver.count == 3)
        rotated = (await caller.post(f"{ENDPOINTS}/{endpoint_id}/rotate-secret")).json()
        assert rotated["secret"] != created["secret"]
        changed = await caller.patch(f"{ENDPOINTS}/{endpoint_id}", json={"enabled": False})
        assert changed.json()["endpoint"]["status"] == "disabled"
        async with gateway.http("organization_other", MANAGE) as stranger:
            for method, path in (("get", "deliveries"), ("post", "test"), ("post", "rotate-secret")):
                answer = await stranger.request(method, f"{ENDPOINTS}/{endpoint_id}/{path}")
                assert answer.status_code == 404, path
            assert (await stranger.delete(f"{ENDPOINTS}/{endpoint_id}")).status_code == 404
        async with gateway.http(shop.acme, READ) as reader:
            assert (await reader.get(ENDPOINTS)).status_code == 403
        assert (await caller.delete(f"{ENDPOINTS}/{endpoint_id}")).status_code == 200
        assert (await caller.get(ENDPOINTS)).json()["items"] == []


async def test_the_webhook_pages_show_the_secret_once(shop: Shop, gateway: GatewaySystem) -> None:
    await shop.register()
    async with webhook_receiver() as receiver, visiting(gateway, shop.acme) as visitor:
        form = await visitor.form("/billing/webhooks", "/billing/webhooks")
        form |= {"url": receiver.url(), "events": "subscription.*, invoice.paid", "description": "<b>ERP</b>"}
        wrong = await visitor.send("/billing/webhooks", form | {"events": "nothing"})
        assert wrong.status_code == 400
        assert "do not exist" in wrong.text or "does not exist" in wrong.text
        page = await visitor.send("/billing/webhooks", form)
        assert page.status_code == 200
        assert "whsec_" in page.text
        overview = await visitor.http.get("/billing/webhooks")
        assert receiver.url() in overview.text
        assert "whsec_" not in overview.text
        assert "<b>ERP" not in overview.text
        (endpoint,) = (await shop.billing.ask(ListEndpoints(customer=shop.acme))).items
        own = f"/billing/webhooks/{endpoint.endpoint_id}"
        assert (await visitor.send(f"{own}/test", await visitor.form(own, f"{own}/test"))).status_code == 303
        await eventually(lambda: receiver.count == 1)
        shown = await eventually(lambda: page_with(visitor, own, "Delivered"))
        assert "endpoint.test" in shown
        deleted = await visitor.send(f"{own}/delete", await visitor.form(own, f"{own}/delete"))
        assert deleted.status_code == 303
        assert (await visitor.http.get(own)).status_code == 404
