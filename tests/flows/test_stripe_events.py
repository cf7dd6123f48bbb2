"""Stripe events: late, repeated, in any order, lost, forged, or about an unknown customer."""

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sandbox.stripe.deliveries import signature
from tallystick.messages import subscriptions as m
from tallystick.messages import webhooks as w
from tests.support.shop import GOOD_CARD, Shop, fresh_id
from tests.support.stack import WEBHOOK_SECRET
from tests.support.waiting import eventually


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_events_out_of_order_and_doubled_lead_to_the_same_end(shop: Shop, seed: int) -> None:
    # Bought, cancelled for its end, and ended: Stripe sends all of it twice, in a random order.
    registered = await shop.register()
    await shop.all_applied()
    await shop.deliveries(paused=True, shuffle=True, seed=seed, duplicate=1000)
    started = await shop.billing.call(shop.checkout("essential_monthly"))
    await shop.page(started.checkout_url, card_number=GOOD_CARD)
    made = shop.stripe.v1.subscriptions.list({"customer": str(registered.stripe_customer_id)}).data[0]
    shop.stripe.v1.subscriptions.update(made.id, {"cancel_at_period_end": True})
    shop.stripe.v1.subscriptions.cancel(made.id)
    async with shop.feed() as told:
        await shop.deliveries(paused=False)
        await shop.all_applied()
        ended = await shop.becomes("canceled")
        assert ended.stripe_subscription_id == made.id
        await eventually(lambda: ended.version == len(told.of("subscription")))
        assert told.names("subscription").count("created") == 1
        assert told.names("subscription").count("canceled") == 1
        assert told.names("subscription")[-1] == "canceled"
        page = await shop.billing.ask(m.ListInvoices(customer=shop.acme))
        assert [invoice.status for invoice in page.items] == ["paid"]
        assert [event.event for event in told.of("invoice") if event.event == "paid"] == ["paid"]
        assert not (await shop.allowed("products")).allowed


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["as it was", "the other way round"])
async def test_created_and_updated_of_one_second_end_active(shop: Shop, order: tuple[int, int]) -> None:
    # Created (incomplete) and updated (active) in the same second.
    events = await _lost(shop, _pays_an_incomplete_subscription)
    created = next(event for event in events if event["type"] == "customer.subscription.created")
    updated = next(event for event in reversed(events) if event["type"] == "customer.subscription.updated")
    assert created["data"]["object"]["status"] == "incomplete"
    assert updated["data"]["object"]["status"] == "active"
    both = (created, updated | {"created": created["created"]})
    async with shop.feed() as told:
        for place in order:
            assert await shop.posts(both[place]) == 200
            await shop.event_is(both[place]["id"], "applied")
        found = await shop.subscription()
        assert found.status == "active"
        assert (await shop.allowed("products")).quantity == 200
        await eventually(lambda: len(told.of("subscription")) == found.version)
        assert told.names("subscription")[:2] == ["created", "activated"]
        assert told.names("subscription").count("activated") == 1


@pytest.mark.parametrize("gap_seconds", [0, 5])
async def test_deleted_before_updated_stays_ended(shop: Shop, gap_seconds: int) -> None:
    # In the same second as well as where the late update has the later time stamp.
    events = await _lost(shop, _begins_and_ends)
    created = next(event for event in events if event["type"] == "customer.subscription.created")
    deleted = next(event for event in events if event["type"] == "customer.subscription.deleted")
    updated = {
        **created,
        "id": fresh_id("evt").replace("-", "_"),
        "type": "customer.subscription.updated",
        "created": deleted["created"] + gap_seconds,
    }
    async with shop.feed() as told:
        for event in (created, deleted, updated):
            assert await shop.posts(event) == 200
            await shop.event_is(event["id"], "applied")
        found = await shop.subscription()
        assert found.status == "canceled"
        assert not (await shop.allowed("products")).allowed
        await eventually(lambda: len(told.of("subscription")) == found.version)
        assert told.names("subscription")[-1] == "canceled"


async def test_a_forged_or_stale_webhook_leaves_nothing_behind(shop: Shop) -> None:
    # One byte changed, a signature 6 minutes old, no header, another secret, a broken header.
    event = {**_customer_updated("cus_forged"), "id": fresh_id("evt").replace("-", "_")}
    payload = json.dumps(event)
    now = int(time.time())
    good = signature(WEBHOOK_SECRET, payload, now)
    changed = payload.replace("cus_forged", "cus_forger").encode()
    assert await shop.posts(changed, **{"Stripe-Signature": good}) == 400
    for header in (
        signature(WEBHOOK_SECRET, payload, now - 6 * 60),
        signature("whsec_another", payload, now),
        good.replace("v1=", "v0="),
        "t=,v1=",
        "",
    ):
        assert await shop.posts(payload.encode(), **{"Stripe-Signature": header}) == 400, header
    assert await shop.posts(payload.encode(), **{"X-Nothing": "here"}) == 400
    assert await shop.refused(w.GetEvent(event_id=event["id"])) == ("not_found", {"event_id": event["id"]})
    assert await shop.rows("webhooks.outbox", "message_id = %s", event["id"]) == 0
    assert await shop.posts(payload.encode(), **{"Stripe-Signature": good}) == 200


async def test_the_same_event_ten_times_is_one_event(shop: Shop) -> None:
    # Five at once, five after one another.
    events = await _lost(shop, _begins_and_ends)
    created = next(event for event in events if event["type"] == "customer.subscription.created")
    async with shop.feed() as told:
        at_once = await asyncio.gather(*(shop.posts(created) for _ in range(5)))
        later = [await shop.posts(created) for _ in range(5)]
        assert [*at_once, *later] == [200] * 10
        stored = await shop.event_is(created["id"], "applied")
        assert stored.attempts == 1
        assert stored.payload == created
        assert await shop.rows("webhooks.stripe_events", "event_id = %s", created["id"]) == 1
        assert await shop.rows("webhooks.outbox", "message_id = %s", created["id"]) == 1
        found = await shop.subscription()
        await eventually(lambda: len(told.of("subscription")) == found.version)
        assert told.names("subscription").count("created") == 1


async def test_what_was_lost_for_two_days_is_found(shop: Shop) -> None:
    # A subscription began two days ago, and not one of its events arrived.
    two_days_ago = datetime.now(UTC) - timedelta(days=2)
    then = int(two_days_ago.timestamp())
    clock = shop.stripe.v1.test_helpers.test_clocks.create({"frozen_time": then})
    theirs = shop.stripe.v1.customers.create({"email": "pay@acme.example", "test_clock": clock.id})
    shop.saves_card(theirs.id)
    await shop.register(stripe_customer_id=theirs.id)
    await shop.all_applied()
    await shop.deliveries(drop=1000)
    made = _subscribe(shop, theirs.id)
    await shop.all_delivered()
    await shop.deliveries(drop=0)
    assert (await shop.refused(m.GetSubscription(customer=shop.acme)))[0] == "not_found"

    command = w.Reconcile(command_id=fresh_id("reconcile"), since=two_days_ago - timedelta(hours=1))
    result = await shop.billing.call(command)
    listed = shop.stripe.v1.events.list({"limit": 100, "created": {"lte": then}}).data
    missed = [event for event in listed if event.type.startswith("customer.subscription.")]
    assert missed
    assert result.ingested >= len(missed)
    found = await shop.becomes("active")
    assert found.stripe_subscription_id == made.id
    for event in missed:
        assert (await shop.event_is(event.id, "applied")).created_at <= two_days_ago
    assert await shop.billing.call(command) == result
    again = await shop.billing.call(command.model_copy(update={"command_id": fresh_id("reconcile")}))
    assert again.listed >= result.listed
    assert again.ingested == 0


async def test_the_hourly_tick_finds_what_was_lost(shop: Shop) -> None:
    registered = await shop.register()
    await shop.all_applied()
    await shop.deliveries(drop=1000)
    shop.stripe.v1.customers.update(str(registered.stripe_customer_id), {"email": "lost@acme.example"})
    await shop.all_delivered()
    await shop.deliveries(drop=0)
    await shop.tick("webhooks", "reconcile", datetime.now(UTC))

    async def changed() -> bool:
        found = await shop.billing.ask(m.GetCustomer(customer=shop.acme))
        return found.customer.email == "lost@acme.example"

    await eventually(changed)


async def test_a_type_that_nobody_acts_on_is_stored_as_ignored(shop: Shop) -> None:
    # Types of today and of tomorrow.
    for event_type in ("product.created", "something.entirely.new"):
        event = {**_customer_updated("cus_any"), "type": event_type, "id": fresh_id("evt").replace("-", "_")}
        assert await shop.posts(event) == 200
        stored = (await shop.billing.ask(w.GetEvent(event_id=event["id"]))).event
        assert (stored.status, stored.attempts, stored.payload) == ("ignored", 0, event)
        page = await shop.billing.ask(w.ListEvents(type=event_type, status="ignored", limit=1))
        assert page.items[0].event_id == event["id"]


async def test_events_of_an_unknown_customer_are_applied_later(shop: Shop) -> None:
    # A subscription in Stripe of a customer who is not registered yet.
    theirs = shop.stripe.v1.customers.create({"email": "early@acme.example"})
    shop.saves_card(theirs.id)
    made = _subscribe(shop, theirs.id)
    await shop.all_delivered()
    waiting = [event for event in shop.stripe_events(theirs.id) if event["type"] in w.APPLIED_EVENT_TYPES]
    created = next(event for event in waiting if event["type"] == "customer.subscription.created")
    parked = await eventually(lambda: _parked(shop, created["id"]))
    assert parked.status == "received"
    assert theirs.id in parked.last_error
    async with shop.feed() as told:
        await shop.register(stripe_customer_id=theirs.id)
        assert (await shop.event_is(created["id"], "applied")).last_error is None
        found = await shop.becomes("active")
        assert found.stripe_subscription_id == made.id
        assert (await shop.allowed("products")).quantity == 200
        for event in waiting:
            if event["type"] != "customer.updated":
                await shop.event_is(event["id"], "applied")
        await eventually(lambda: "paid" in told.names("invoice"))
        assert told.names("subscription").count("created") == 1


async def test_a_replay_has_no_second_effect(shop: Shop) -> None:
    async with shop.feed() as told:
        registered = await shop.register()
        since = datetime.now(UTC)
        bought = await shop.buys("essential_monthly")
        await shop.all_applied()
        events = [
            event["id"]
            for event in shop.stripe_events(str(registered.stripe_customer_id))
            if event["type"].startswith("customer.subscription.")
        ]
        before = (await shop.subscription()).version
        by_id = w.Replay(command_id=fresh_id("replay"), event_ids=events)
        assert (await shop.billing.call(by_id)).replayed == len(events)
        span = w.Replay(
            command_id=fresh_id("replay"),
            since=since,
            until=datetime.now(UTC) + timedelta(minutes=1),
            types=["customer.subscription.created", "invoice.paid"],
        )
        assert (await shop.billing.call(span)).replayed == 2
        await shop.all_applied()
        for event_id in events:
            await shop.event_is(event_id, "applied")
        assert (await shop.subscription()).version == before
        assert told.names("subscription").count("created") == 1
        assert (await shop.subscription()).subscription_id == bought.subscription_id
    unknown = w.Replay(command_id=fresh_id("replay"), event_ids=["evt_never_seen"])
    assert await shop.refused(unknown) == ("not_found", {"event_ids": ["evt_never_seen"]})


async def test_seats_bought_in_stripe_are_a_change(shop: Shop) -> None:
    # Studio, 3 seats, made 5 on Stripe's side: one event, the new number, and what others need with it.
    async with shop.feed() as told:
        await shop.register()
        bought = await shop.buys("studio_monthly", 3)
        theirs = shop.stripe.v1.subscriptions.retrieve(str(bought.stripe_subscription_id))
        item = theirs["items"].data[0]
        shop.stripe.v1.subscriptions.update(theirs.id, {"items": [{"id": item.id, "quantity": 5}]})

        async def has_five() -> bool:
            return (await shop.subscription()).items[0].quantity == 5

        await eventually(has_five)
        await shop.all_applied()
        await eventually(lambda: "changed" in told.names("subscription"))
        changed: list[Any] = [e.snapshot for e in told.of("subscription") if e.event == "changed"]
        assert [snapshot["items"][0]["quantity"] for snapshot in changed] == [5]
        assert changed[0]["items"][0]["seats"]["strategy"] == "per_team"


async def test_paused_in_stripe_takes_away_and_gives_back(shop: Shop) -> None:
    async with shop.feed() as told:
        await shop.register()
        bought = await shop.buys("essential_monthly")
        theirs = str(bought.stripe_subscription_id)
        shop.stripe.v1.subscriptions.update(theirs, {"pause_collection": {"behavior": "void"}})
        await shop.becomes("paused")
        assert not (await shop.allowed("products")).allowed
        await shop.leaves_bucket("products")
        shop.stripe.v1.subscriptions.update(theirs, {"pause_collection": ""})
        await shop.becomes("active")
        assert (await shop.allowed("products")).quantity == 200
        await eventually(lambda: "resumed" in told.names("subscription"))
        assert [name for name in told.names("subscription") if name in ("paused", "resumed")] == [
            "paused",
            "resumed",
        ]


async def test_a_first_payment_that_never_comes_expires(shop: Shop) -> None:
    # Stripe gives 23 hours for the first payment; afterwards the plan is free to be bought again.
    clock = await shop.on_a_clock()
    customer = (await shop.billing.ask(m.GetCustomer(customer=shop.acme))).customer
    made = _subscribe(shop, str(customer.stripe_customer_id), payment_behavior="default_incomplete")

    async def has(status: str) -> bool:
        answer = await shop.billing.answer(m.GetSubscription(customer=shop.acme))
        return answer.status == "succeeded" and (await shop.subscription()).status == status

    await eventually(lambda: has("incomplete"))
    assert not (await shop.allowed("products")).allowed
    assert (await shop.refused(shop.checkout("essential_monthly")))[0] == "already_subscribed"
    shop.advance(clock, datetime.fromtimestamp(made.created, UTC) + timedelta(hours=23))
    await shop.becomes("expired")
    assert (await shop.billing.call(shop.checkout("essential_monthly"))).checkout_url


async def _lost(shop: Shop, happens: Any) -> list[dict[str, Any]]:
    """Register, make a change in Stripe whose webhooks are lost, and return its events."""
    registered = await shop.register()
    stripe_customer_id = str(registered.stripe_customer_id)
    shop.saves_card(stripe_customer_id)
    await shop.all_applied()
    await shop.deliveries(drop=1000)
    happens(shop, stripe_customer_id)
    await shop.all_delivered()
    await shop.deliveries(drop=0)
    return shop.stripe_events(stripe_customer_id)


def _subscribe(shop: Shop, stripe_customer_id: str, **fields: Any) -> Any:
    price = shop.stripe.v1.prices.list({"lookup_keys": ["essential_monthly"]}).data[0]
    params: Any = {"customer": stripe_customer_id, "items": [{"price": price.id}], **fields}
    return shop.stripe.v1.subscriptions.create(params)


def _pays_an_incomplete_subscription(shop: Shop, stripe_customer_id: str) -> None:
    made = _subscribe(shop, stripe_customer_id, payment_behavior="default_incomplete")
    assert made.status == "incomplete"
    shop.stripe.v1.invoices.pay(made.latest_invoice)


def _begins_and_ends(shop: Shop, stripe_customer_id: str) -> None:
    shop.stripe.v1.subscriptions.cancel(_subscribe(shop, stripe_customer_id).id)


async def _parked(shop: Shop, event_id: str) -> w.StoredEventWithPayload | None:
    stored = (await shop.billing.ask(w.GetEvent(event_id=event_id))).event
    return stored if stored.last_error else None


def _customer_updated(stripe_customer_id: str) -> dict[str, Any]:
    return {
        "object": "event",
        "type": "customer.updated",
        "created": int(time.time()),
        "data": {"object": {"id": stripe_customer_id, "object": "customer", "email": "x@acme.example"}},
    }
