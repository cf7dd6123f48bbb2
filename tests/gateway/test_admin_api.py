"""The admin API: customers, feature overrides, events, dead letters and the status of the workers."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.messaging.nats_connection import connect
from tests.support.gateway import ADMIN, GatewaySystem
from tests.support.shop import Shop, fresh_id
from tests.support.waiting import eventually

API = "/api/v1/admin"
OPERATOR = "organization_operations"

pytestmark = pytest.mark.timeout(180)


async def test_a_customer_found_and_looked_at(gateway: GatewaySystem, shop: Shop) -> None:
    async with gateway.http(OPERATOR, ADMIN) as http:
        wish = {"customer": shop.acme.model_dump(), "email": "Pay@Acme.example", "name": "Acme & Sons"}
        made = await http.post(f"{API}/customers", json=wish)
        assert made.status_code == 201, made.text
        for search in (shop.acme.id.upper(), shop.acme.id[3:], made.json()["customer"]["stripe_customer_id"]):
            found = (await http.get(f"{API}/customers", params={"search": search})).json()["items"]
            assert [one["id"] for one in found] == [shop.acme.id], search
        nothing = await http.get(f"{API}/customers", params={"search": f"%{shop.acme.id}"})
        assert nothing.json()["items"] == []

        free = {
            "customer": shop.acme.model_dump(),
            "items": [{"price": "essential_monthly"}],
            "collection": "none",
        }
        bought = await http.post(f"{API}/subscriptions", json=free)
        assert bought.status_code == 201, bought.text
        subscription_id = bought.json()["subscription"]["subscription_id"]
        listed = await http.get(f"{API}/subscriptions", params={"customer": shop.acme.token})
        assert [one["subscription_id"] for one in listed.json()["items"]] == [subscription_id]
        assert (await http.get(f"{API}/subscriptions/{subscription_id}")).json() == bought.json()
        paused = await http.post(f"{API}/subscriptions/{subscription_id}/pause")
        assert paused.json()["subscription"]["status"] == "paused"
        resumed = await http.post(f"{API}/subscriptions/{subscription_id}/resume")
        assert resumed.json()["subscription"]["status"] == "active"
        assert (await http.get(f"{API}/customers/{shop.acme.token}")).json() == made.json()
        assert (await http.get(f"{API}/customers/{shop.acme.token}/invoices")).json()["items"] == []

        override = {
            "customer": shop.acme.model_dump(),
            "feature": "products",
            "quantity": 7,
            "reason": "a promise",
        }
        given = await http.post(f"{API}/overrides", json=override)
        assert given.status_code == 201, given.text
        assert given.json()["entitlement"]["quantity"] == 207  # 200 of the plan and 7 on top
        entitlements = (await http.get(f"{API}/customers/{shop.acme.token}/entitlements")).json()["items"]
        assert {one["feature"]: one["quantity"] for one in entitlements}["products"] == 207

        async def told() -> list[str]:
            history = await http.get(f"{API}/customers/{shop.acme.token}/history")
            names = [one["type"] for one in history.json()["items"]]
            return names if "subscription.resumedV1" in names else []

        assert (await eventually(told))[-1] == "customer.createdV1"
        ended = await http.post(f"{API}/subscriptions/{subscription_id}/cancel", json={"at": "now"})
        assert ended.json()["subscription"]["status"] == "canceled"


async def test_the_catalog_as_a_document(gateway: GatewaySystem) -> None:
    async with gateway.http(OPERATOR, ADMIN) as http:
        catalog = (await http.get(f"{API}/catalog")).json()["catalog"]
        assert catalog["revision"] >= 1
        wrong = await http.put(f"{API}/catalog", json={"products": [{"code": "x"}]})
        assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid_catalog")
        assert {problem["path"] for problem in wrong.json()["details"]} >= {"products[0].name"}
        assert (await http.get(f"{API}/catalog")).json()["catalog"] == catalog


async def test_events_of_stripe_are_listed_and_replayed(gateway: GatewaySystem, shop: Shop) -> None:
    since = datetime.now(UTC).isoformat()
    await shop.register()
    await shop.buys("essential_monthly", trial=False)
    await shop.all_applied()
    async with gateway.http(OPERATOR, ADMIN) as http:
        wanted = {"since": since, "type": "invoice.paid", "status": "applied"}
        [event] = (await http.get(f"{API}/events", params=wanted)).json()["items"]
        whole = (await http.get(f"{API}/events/{event['event_id']}")).json()["event"]
        assert whole["payload"]["type"] == "invoice.paid"
        replayed = await http.post(f"{API}/events/{event['event_id']}/replay")
        assert replayed.json() == {"replayed": 1}
        both = await http.post(f"{API}/events/replay", json={"event_ids": [event["event_id"]]})
        assert both.json() == {"replayed": 1}
        neither = await http.post(f"{API}/events/replay", json={})
        assert (neither.status_code, neither.json()["code"]) == (400, "invalid_message")
        compared = await http.post(f"{API}/events/reconcile", json={"since": since})
        assert compared.json()["ingested"] == 0
        assert (await http.get(f"{API}/events/evt_unknown")).status_code == 404


def letter(subject: str, body: bytes, service: str) -> tuple[str, bytes, dict[str, str]]:
    """A dead letter as a worker buries it."""
    about = {
        "Billing-Origin-Subject": subject,
        "Billing-Origin-Stream": "BILLING_COMMANDS",
        "Billing-Service": service,
        "Billing-Handler": "some_handler",
        "Billing-Attempts": "10",
        "Billing-Error": "the database was on fire",
        "Billing-Failed-At": datetime.now(UTC).isoformat(),
    }
    return f"billing.dead_letters.{service}.some_handler", body, about


async def bury(gateway: GatewaySystem, subject: str, body: dict[str, Any], service: str) -> int:
    """Bury a dead letter; its number."""
    admin = await connect(gateway.system.stack.nats.users["admin"], "undertaker")
    where, content, headers = letter(subject, json.dumps(body).encode(), service)
    try:
        return (await admin.jetstream().publish(where, content, headers=headers)).seq
    finally:
        await admin.close()


async def test_a_dead_command_is_read_and_carried_out_after_all(gateway: GatewaySystem, shop: Shop) -> None:
    command = {
        "command_id": fresh_id("dead"),
        "customer": shop.acme.model_dump(),
        "email": "late@acme.example",
    }
    number = await bury(gateway, "billing.commands.subscriptions.register_customer", command, "subscriptions")
    async with gateway.http(OPERATOR, ADMIN) as http:
        [first, *_] = (await http.get(f"{API}/dead-letters", params={"service": "subscriptions"})).json()[
            "items"
        ]
        assert (first["number"], first["error"]) == (number, "the database was on fire")
        found = (await http.get(f"{API}/dead-letters/{number}")).json()["dead_letter"]
        assert found["body"] == command
        assert (await http.post(f"{API}/dead-letters/{number}/retry")).status_code == 202
        assert (await http.get(f"{API}/dead-letters/{number}")).status_code == 404
        assert (await http.post(f"{API}/dead-letters/{number}/retry")).status_code == 404

        async def registered() -> bool:
            return (await http.get(f"{API}/customers/{shop.acme.token}")).status_code == 200

        await eventually(registered)


async def test_what_is_not_the_gateways_to_send_back_stays(gateway: GatewaySystem) -> None:
    async with gateway.http(OPERATOR, ADMIN) as http:
        for subject in (
            "billing.ticks.subscriptions.move_periods",
            "billing.change_feed.customer.user_7.createdV1",
            "billing.commands.webhooks.record_outcome",
            "tunnel.incoming-webhook-events.stripe",
            "billing.stripe_events.invoice.paid",
            "$JS.API.STREAM.PURGE.BILLING_COMMANDS",
            "$KV.billing_entitlements.organization_x.orders",
            "billing.commands.webhooks.no_such_command",
            "billing.commands.subscriptions.register_customer",
        ):
            number = await bury(gateway, subject, {}, "webhooks")
            refused = await http.post(f"{API}/dead-letters/{number}/retry")
            assert (refused.status_code, refused.json()["code"]) == (409, "not_retriable"), subject
            assert (await http.get(f"{API}/dead-letters/{number}")).status_code == 200
        page = (await http.get(f"{API}/dead-letters", params={"limit": 2})).json()
        older = (
            await http.get(f"{API}/dead-letters", params={"limit": 200, "before": page["next_before"]})
        ).json()
        numbers = [one["number"] for one in [*page["items"], *older["items"]]]
        assert numbers == sorted(numbers, reverse=True) and len(numbers) >= 5


async def test_how_the_workers_are_doing(gateway: GatewaySystem) -> None:
    async with gateway.http(OPERATOR, ADMIN) as http:
        found = (await http.get(f"{API}/workers")).json()
    assert {one["service"]: one["answers"] for one in found["services"]} == {
        "subscriptions": True,
        "seats": True,
        "consumables": True,
        "monitoring": True,
        "payouts": True,
        "licenses": True,
        "notifications": True,
        "webhooks": True,
    }
    consumers = {one["consumer"]: one for one in found["consumers"]}
    assert consumers["subscriptions-commands"]["stream"] == "BILLING_COMMANDS"
    assert consumers["webhooks-ticks"]["service"] == "webhooks"
