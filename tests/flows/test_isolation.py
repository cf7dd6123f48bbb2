"""Malformed, huge or hostile messages affect only their sender."""

import asyncio
import json
import time
from functools import partial
from typing import Any

import nats
import pytest

from sandbox.stripe.deliveries import signature
from tallystick.messages import catalog as c
from tallystick.messages import subscriptions as m
from tallystick.messages import webhooks as w
from tests.support.shop import Shop, fresh_id
from tests.support.shop_steps import WAYS
from tests.support.stack import WEBHOOK_SECRET
from tests.support.waiting import eventually

NEIGHBOUR_SECONDS = 2.0
"""How long a good command may take among a flood of bad ones on a busy laptop; alone it takes 20 ms."""
ROUNDS = 5

CUSTOMER = {"type": "organization", "id": "acme"}


def _registration(**fields: Any) -> bytes:
    good = {"command_id": "bad-1", "customer": CUSTOMER, "email": "pay@acme.example"}
    return json.dumps(good | fields).encode()


BAD_BODIES = {
    "nothing": b"",
    "not JSON": b"{",
    "not text": b"\xff\xfe\x00{}",
    "a list": b"[]",
    "a number": b"7",
    "null": b"null",
    "an endless nest": b'{"a":' * 20_000,
    "twice a key, once wrong": b'{"command_id":"c","command_id":7,"customer":1,"email":2}',
    "a number for a text": _registration(email=7),
    "a text for an object": _registration(customer="organization_acme"),
    "a command id that is none": _registration(command_id={}),
    "an empty command id": _registration(command_id=""),
    "a long command id": _registration(command_id="x" * 129),
    "a string of 1 MB": _registration(name="x" * 1_000_000),
    "a name of 300 KB": _registration(name="x" * 300_000),
    "a NUL in an id": _registration(customer=CUSTOMER | {"id": "a\x00b"}),
    "a NUL in a command id": _registration(command_id="a\x00b"),
    "a NUL in a name": _registration(name="a\x00b"),
    "a NUL in metadata": _registration(metadata={"a\x00": "b"}),
    "half a character": _registration(name="\ud800"),
    "half a character in metadata": _registration(metadata={"a": "\udfff"}),
    "half a character in a command id": _registration(command_id="\ud800"),
    "half a character in who asks": _registration(requested_by="\ud800"),
    "a path": _registration(customer=CUSTOMER | {"id": "../../etc"}),
    "a star": _registration(customer=CUSTOMER | {"id": "*"}),
    "a greater-than": _registration(customer=CUSTOMER | {"id": ">"}),
    "a dot": _registration(customer=CUSTOMER | {"id": "a.b"}),
    "a line break": _registration(customer=CUSTOMER | {"id": "acme\n"}),
    "letters of elsewhere": _registration(customer=CUSTOMER | {"id": "açmé"}),
    "too many metadata": _registration(metadata={str(n): "x" for n in range(51)}),
    "a stripe id with a slash": _registration(stripe_customer_id="../products/prod_1"),
    "an unknown field": _registration(admin=True),
}

BAD_ORDERS: dict[str, list[Any]] = {
    "beyond 64 bits": [{"price": "team_monthly", "quantity": 2**64}],
    "far beyond 64 bits": [{"price": "team_monthly", "quantity": 10**400}],
    "below zero": [{"price": "team_monthly", "quantity": -1}],
    "a fraction": [{"price": "team_monthly", "quantity": 1.5}],
    "a code with a wildcard": [{"price": "team.*"}],
    "a code with a path": [{"price": "../team"}],
    "nothing to buy": [],
    "too much to buy": [{"price": f"p{n}"} for n in range(21)],
    "the same twice": [{"price": "starter_free"}, {"price": "starter_free"}],
}


def _order(items: list[Any]) -> bytes:
    return json.dumps({"command_id": "bad-2", "customer": CUSTOMER, "items": items}).encode()


BAD = [("register_customer", name, body) for name, body in BAD_BODIES.items()]
BAD += [("create_subscription", name, _order(items)) for name, items in BAD_ORDERS.items()]


@pytest.mark.parametrize("way", WAYS)
async def test_bad_messages_do_not_delay_their_neighbours(shop: Shop, way: str) -> None:
    # Five times all of them, pouring in while a customer registers, subscribes and cancels.
    await shop.register()
    await shop.all_applied()
    tables = ("subscriptions.inbox", "subscriptions.customers", "webhooks.inbox")
    before = [await shop.rows(table) for table in tables]
    refusals = asyncio.create_task(_pour(shop, way))
    slowest, commands = 0.0, 0
    while not refusals.done() or commands < 4:
        started = time.perf_counter()
        customer = shop.acme.model_copy(update={"id": fresh_id("good")})
        await shop.register(customer)
        slowest, commands = max(slowest, time.perf_counter() - started), commands + 1
    codes = await refusals
    assert len(codes) == ROUNDS * len(BAD)
    wrong = {name: code for name, code in codes if code != "invalid_message"}
    assert wrong == {}
    assert slowest < NEIGHBOUR_SECONDS
    after = [await shop.rows(table) for table in tables]
    assert after == [before[0] + commands, before[1] + commands, before[2]]
    await _nothing_is_left(shop, "BILLING_COMMANDS", "subscriptions-commands")


@pytest.mark.parametrize("way", ["http", "nats"])
async def test_bad_webhooks_do_not_keep_others_from_being_stored(shop: Shop, way: str) -> None:
    stored = await shop.rows("webhooks.stripe_events")
    told = await shop.rows("webhooks.outbox")
    neighbours = [_event() for _ in range(len(BAD_EVENTS))]
    started = time.perf_counter()
    for bad, good in zip(BAD_EVENTS.values(), neighbours, strict=True):
        await asyncio.gather(_hand_in(shop, way, bad, 400), _hand_in(shop, way, good, 200))
    for good in neighbours:
        found = await eventually(partial(_stored, shop, json.loads(good)["id"]))
        assert found.payload == json.loads(good)
    assert time.perf_counter() - started < NEIGHBOUR_SECONDS * 3
    assert await shop.rows("webhooks.stripe_events") == stored + len(neighbours)
    assert await shop.rows("webhooks.outbox") == told + len(neighbours)
    await _nothing_is_left(shop, "BILLING_WEBHOOKS", "webhooks-ingress")


async def test_an_event_that_cannot_be_applied_delays_nobody(shop: Shop) -> None:
    # Signed by Stripe's own secret, for a customer we know, and not what a subscription looks like.
    registered = await shop.register()
    base = {"id": "sub_broken", "object": "subscription", "customer": registered.stripe_customer_id}
    broken: list[dict[str, Any]] = [
        base,
        base | {"status": "dancing", "created": 1, "items": {"data": []}},
        base | {"status": "active", "created": "soon", "items": {"data": []}},
        base | {"status": "active", "created": 1, "items": {"data": [7]}},
        base
        | {"status": "active", "created": 1, "items": {"data": [{"price": {"id": "p"}, "quantity": -5}]}},
        base | {"status": "active", "created": 10**15, "items": {"data": []}},
        base | {"customer": {"object": "customer"}, "status": "active", "created": 1},
    ]
    events = [_event(type="customer.subscription.updated", thing=thing) for thing in broken]
    assert await asyncio.gather(*(shop.posts(event) for event in events)) == [200] * len(events)
    started = time.perf_counter()
    await shop.buys("essential_monthly")
    assert time.perf_counter() - started < NEIGHBOUR_SECONDS * 2
    for event in events:
        found = await shop.event_is(json.loads(event)["id"], "failed")
        assert found.last_error
    page = await shop.billing.ask(m.ListSubscriptions(customer=shop.acme))
    assert [item.status for item in page.items] == ["active"]


@pytest.mark.parametrize(
    "catalog",
    [
        [[[]]],
        {"features": [{"code": "a\x00b", "name": "A", "kind": "flag"}]},
        {"features": [{"code": "a", "name": "\ud800", "kind": "flag"}]},
        {"features": [{"code": "../a", "name": "A", "kind": "flag"}]},
        {"features": [{"code": "a.*", "name": "A", "kind": "flag"}]},
        {"features": [{"code": "a", "name": "A" * 400_000, "kind": "flag"}]},
        {"features": [{"code": "a", "name": "A", "kind": "flag", "unit_price": {"amount": 2**70}}]},
        {"products": [{"code": f"p{n}", "kind": "dream"} for n in range(2_000)]},
        {"products": {"a\x00": 1}},
    ],
    ids=range(9),
)
async def test_a_hostile_catalog_changes_nothing(shop: Shop, catalog: Any) -> None:
    before = (await shop.billing.ask(c.GetCatalog())).catalog
    body = json.dumps({"command_id": fresh_id("apply"), "catalog": catalog}).encode()
    reply = await shop.billing.connection.nats.request(
        "billing.requests.subscriptions.apply_catalog", body, timeout=10
    )
    outcome = json.loads(reply.data)
    assert outcome["status"] == "rejected"
    assert outcome["error"]["code"] in ("invalid_message", "invalid_catalog")
    assert outcome["error"]["details"]
    assert (await shop.billing.ask(c.GetCatalog())).catalog == before


def _event(type: str = "customer.discount.created", thing: Any = None, **fields: Any) -> bytes:  # noqa: A002
    event = {
        "id": fresh_id("evt").replace("-", "_"),
        "object": "event",
        "type": type,
        "created": int(time.time()),
        "data": {"object": thing or {"id": "di_1", "object": "discount"}},
    }
    return json.dumps(event | fields).encode()


BAD_EVENTS = {
    "nothing": b"",
    "not JSON": b"{",
    "a list": b"[]",
    "not an event": b'{"object":"charge","id":"ch_1"}',
    "no id": _event(id=None),
    "a path for an id": _event(id="../evt"),
    "a wildcard in the type": _event(type="customer.*"),
    "a greater-than in the type": _event(type="customer.>"),
    "a space in the type": _event(type="customer. updated"),
    "one word for a type": _event(type="updated"),
    "a NUL": _event(thing={"id": "a\x00b"}),
    "beyond 64 bits": _event(thing={"amount": 2**64}),
    "a time that is none": _event(created="yesterday"),
    "a time beyond all times": _event(created=10**18),
    "no data": _event(data={}),
    "an endless nest": b'{"object":"event","id":"evt_1","type":"a.b","created":1,"data":{"object":{"a":'
    + b"[" * 5_000
    + b"]" * 5_000
    + b"}}}",
}


async def _pour(shop: Shop, way: str) -> list[tuple[str, str]]:
    """Send all bad messages repeatedly; return name and error code of each."""
    if way == "requests":
        return [pair for _ in range(ROUNDS) for pair in await asyncio.gather(*map(_asker(shop), BAD))]
    connection = shop.billing.connection.nats
    inbox, codes = connection.new_inbox(), []

    async def keep(message: Any) -> None:
        name = BAD[int(message.subject.rpartition(".")[2])][1]
        codes.append((name, json.loads(message.data)["error"]["code"]))

    answers = await connection.subscribe(f"{inbox}.*", cb=keep)
    for _ in range(ROUNDS):
        for number, (command, _name, body) in enumerate(BAD):
            headers = {"Billing-Reply-To": f"{inbox}.{number}"}
            await connection.publish(f"billing.commands.subscriptions.{command}", body, headers=headers)
    await eventually(lambda: len(codes) >= ROUNDS * len(BAD))
    await answers.unsubscribe()
    return codes


def _asker(shop: Shop) -> Any:
    async def ask(bad: tuple[str, str, bytes]) -> tuple[str, str]:
        command, name, body = bad
        subject = f"billing.requests.subscriptions.{command}"
        reply = await shop.billing.connection.nats.request(subject, body, timeout=20)
        return name, json.loads(reply.data)["error"]["code"]

    return ask


async def _hand_in(shop: Shop, way: str, payload: bytes, status: int) -> None:
    """Post a payload with a Stripe signature to the ingress."""
    header = signature(WEBHOOK_SECRET, payload.decode(), int(time.time()))
    if way == "http":
        assert await shop.posts(payload, **{"Stripe-Signature": header}) == status, payload[:100]
        return
    ingress = await nats.connect(shop.system.stack.nats.users["ingress"])
    try:
        subject = "tunnel.incoming-webhook-events.stripe"
        await ingress.request(subject, payload, headers={"Stripe-Signature": header}, timeout=10)
    finally:
        await ingress.close()


async def _stored(shop: Shop, event_id: str) -> w.StoredEventWithPayload:
    return (await shop.billing.ask(w.GetEvent(event_id=event_id))).event


async def _nothing_is_left(shop: Shop, stream: str, consumer: str) -> None:
    """Check that every message was settled at its first delivery and none is pending."""
    monitor = await nats.connect(shop.system.stack.nats.users["monitor"])

    async def settled() -> bool:
        info = await monitor.jetstream().consumer_info(stream, consumer)
        return (info.num_pending, info.num_ack_pending, info.num_redelivered) == (0, 0, 0)

    try:
        await eventually(settled)
    finally:
        await monitor.close()
