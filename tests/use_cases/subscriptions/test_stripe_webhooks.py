"""Stripe events in any order, about known and unknown customers, and their reported outcomes."""

import asyncio
import json
import random
from itertools import permutations
from typing import Any

import httpx
import pytest

from shared.messaging.redelivery import Undeliverable
from tallystick.messages import subscriptions as m
from tests.support.stripe import SECRET_KEY
from tests.support.worlds.subscriptions import ACME, CONSUMER, World, gapless, stripe_event

# Raised by how the Stripe SDK calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

NEW_YEAR = 1767225600
MONTH = 31 * 86400


@pytest.fixture
async def world(shop: World) -> World:
    """A shop without a registered customer."""
    return shop


def imagined(stripe_customer_id: str, **fields: Any) -> dict[str, Any]:
    """A subscription that exists only in events: Stripe does not have it."""
    return {
        "id": "sub_imagined",
        "object": "subscription",
        "customer": stripe_customer_id,
        "status": "incomplete",
        "collection_method": "charge_automatically",
        "pause_collection": None,
        "created": NEW_YEAR,
        "trial_end": None,
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "ended_at": None,
        "metadata": {},
        "items": {
            "data": [
                {
                    "price": {"id": "price_elsewhere", "lookup_key": "solo_monthly"},
                    "quantity": 1,
                    "current_period_start": NEW_YEAR,
                    "current_period_end": NEW_YEAR + MONTH,
                }
            ]
        },
        **fields,
    }


async def known_customer(world: World) -> str:
    stripe_customer_id = (await world.register())["stripe_customer_id"]
    assert isinstance(stripe_customer_id, str)
    return stripe_customer_id


@pytest.mark.parametrize("order", list(permutations(["created", "updated"])))
async def test_created_and_activated_in_one_second_are_active(world: World, order: tuple[str, ...]) -> None:
    subscription = imagined(await known_customer(world))
    events = {
        "created": stripe_event("evt_created", "created", NEW_YEAR, subscription),
        "updated": stripe_event("evt_updated", "updated", NEW_YEAR, subscription, status="active"),
    }

    await world.hears(*(events[kind] for kind in order))

    assert (await world.subscription())["status"] == "active"
    assert await world.names("subscription") == ["createdV1", "activatedV1"]


async def test_deleted_before_updated_is_ended(world: World) -> None:
    subscription = imagined(await known_customer(world), status="active")
    deleted = stripe_event(
        "evt_2", "deleted", NEW_YEAR + 9, subscription, status="canceled", ended_at=NEW_YEAR + 9
    )

    await world.hears(
        deleted,
        stripe_event("evt_3", "updated", NEW_YEAR + 9, subscription),
        stripe_event("evt_4", "updated", NEW_YEAR + 20, subscription),
        stripe_event("evt_1", "created", NEW_YEAR, subscription),
    )

    assert (await world.subscription())["status"] == "canceled"
    assert await world.names("subscription") == ["createdV1", "canceledV1"]
    assert await world.bucket() == {}


async def test_an_older_event_does_not_overwrite_a_newer_one(world: World) -> None:
    subscription = imagined(await known_customer(world), status="active")

    await world.hears(
        stripe_event("evt_2", "updated", NEW_YEAR + 9, subscription, status="past_due"),
        stripe_event("evt_1", "updated", NEW_YEAR + 8, subscription),
    )

    assert (await world.subscription())["status"] == "past_due"


@pytest.mark.parametrize("seed", range(4))
async def test_any_order_of_all_events_leads_to_the_same_state(world: World, seed: int) -> None:
    await world.register()
    await world.buys("team_yearly", quantity=7)
    events = world.new_events() * 2
    random.Random(seed).shuffle(events)

    await world.hears(*events)

    subscription = await world.subscription()
    assert (subscription["status"], subscription["items"][0]["quantity"]) == ("active", 7)
    assert await world.names("subscription") == ["createdV1", "activatedV1"]
    assert gapless(await world.told("subscription"), "subscription", "subscription_id")
    outcome = await world.asks(m.ListInvoices(customer=ACME))
    # 5 seats at 100.00 and 2 at 80.00
    assert [(i["status"], i["amount_paid"]) for i in outcome["items"]] == [("paid", 66000)]
    names = await world.names("invoice")
    assert (names.count("createdV1"), names.count("paidV1")) == (1, 1)
    assert gapless(await world.told("invoice"), "invoice", "invoice_id")
    assert (await world.bucket())["organization_acme.members"]["quantity"] == 10


async def test_all_events_at_once_lead_to_the_same_state(world: World) -> None:
    await world.register()
    await world.buys("solo_monthly")

    await asyncio.gather(*(world.hears(event) for event in world.new_events() * 2))

    assert (await world.subscription())["status"] == "active"
    assert await world.names("subscription") == ["createdV1", "activatedV1"]
    assert (await world.names("invoice")).count("paidV1") == 1
    assert gapless(await world.told("entitlement"), "entitlement", "entitlement_id")


async def test_a_change_and_its_doubt_are_settled_by_what_stripe_has(world: World) -> None:
    await world.register()
    await world.buys("team_yearly", quantity=3)
    await world.catches_up()
    [theirs] = world.stripe.v1.subscriptions.list({"limit": 1}).data
    before = next(e for e in world.stripe_events() if e["type"] == "customer.subscription.created")
    world.stripe.v1.subscriptions.update(
        theirs.id, {"items": [{"id": theirs.items.data[0].id, "quantity": 8}]}
    )
    # An event of the same second that still has the old quantity, under a new id.
    stale = {**before, "id": "evt_stale", "type": "customer.subscription.updated"}

    changed = world.new_events()
    for event in changed:
        event["created"] = before["created"]
    await world.hears(*changed, stale)

    assert (await world.subscription())["items"][0]["quantity"] == 8
    assert (await world.names("subscription")).count("changedV1") == 1


async def test_a_subscription_made_in_stripe_itself_is_taken_in(world: World) -> None:
    stripe_customer_id = await known_customer(world)
    await _subscribe_in_stripe(world, stripe_customer_id)
    await world.catches_up()

    subscription = await world.subscription()
    assert subscription["status"] == "active"
    assert subscription["items"][0]["product"] == "solo"
    assert (await world.allowed("transcription"))["allowed"] is True


async def test_an_unknown_customers_event_is_replayed_once_they_exist(world: World) -> None:
    unknown = world.stripe.v1.customers.create({"email": "later@acme.example"})
    event = stripe_event("evt_early", "created", NEW_YEAR, imagined(unknown.id), status="active")

    await world.hears(event)
    await world.hears(event)

    reports = await world.reports()
    assert [(report["status"], report["error"]) for report in reports] == [
        ("received", f"waits for customer {unknown.id}")
    ] * 2
    assert await world.told("subscription") == []

    await world.register(stripe_customer_id=unknown.id)
    [replay] = await world.reports("replay")
    assert replay["event_ids"] == ["evt_early"]

    await world.hears(event, attempt=2)
    assert (await world.subscription())["status"] == "active"
    assert (await world.reports())[-1]["status"] == "applied"


async def test_a_customer_is_adopted_with_their_subscriptions(world: World) -> None:
    theirs = world.stripe.v1.customers.create({"email": "old@acme.example"})
    await _subscribe_in_stripe(world, theirs.id)

    customer = await world.register(stripe_customer_id=theirs.id)

    assert customer["stripe_customer_id"] == theirs.id
    assert (await world.subscription())["status"] == "active"
    assert await world.names("subscription") == ["createdV1", "activatedV1"]
    await world.catches_up()
    assert await world.names("subscription") == ["createdV1", "activatedV1"]


async def test_what_is_registered_here_is_not_undone_by_an_older_event(world: World) -> None:
    stripe_customer_id = await known_customer(world)
    await world.catches_up()
    world.stripe.v1.customers.update(stripe_customer_id, {"email": "there@acme.example", "name": "There"})
    late = world.new_events()

    await world.register(name="Here")
    await world.hears(*late)

    found = (await world.asks(m.GetCustomer(customer=ACME)))["customer"]
    theirs = world.stripe.v1.customers.retrieve(stripe_customer_id)
    assert (found["email"], found["name"]) == (theirs.email, theirs.name) == ("pay@acme.example", "Here")


async def test_a_plan_is_held_from_the_completed_checkout_on(world: World) -> None:
    await world.register()
    await world.buys()
    completed = [event for event in world.new_events() if event["type"] == "checkout.session.completed"]

    await world.hears(*completed)

    assert (await world.refuses(world.checkout()))[0] == "already_subscribed"
    assert (await world.subscription())["status"] == "active"


async def test_an_adopted_customer_is_called_the_same_in_both_places(world: World) -> None:
    theirs = world.stripe.v1.customers.create({"email": "old@acme.example", "name": "Acme Ltd"})

    customer = await world.register(stripe_customer_id=theirs.id)

    told = (customer["email"], customer["name"])
    assert told == ("pay@acme.example", "Acme Ltd")
    adopted = world.stripe.v1.customers.retrieve(theirs.id)
    assert (adopted.email, adopted.name) == told
    # Whatever else changes of them there, nothing is taken back.
    world.stripe.v1.customers.update(theirs.id, {"phone": "123"})
    await world.catches_up()
    again = (await world.asks(m.GetCustomer(customer=ACME)))["customer"]
    assert again == customer
    renamed = await world.register(stripe_customer_id=theirs.id, name="Acme plc")
    assert (renamed["name"], world.stripe.v1.customers.retrieve(theirs.id).name) == ("Acme plc", "Acme plc")


async def test_a_failure_is_reported_with_its_attempt_and_raised(world: World) -> None:
    broken = stripe_event(
        "evt_broken", "updated", NEW_YEAR, imagined(await known_customer(world)), status="odd"
    )

    with pytest.raises(Undeliverable):
        await world.hears(broken, attempt=3)

    [report] = await world.reports()
    assert (report["event_id"], report["status"], report["attempt"]) == ("evt_broken", "failed", 3)
    assert "odd" in report["error"]


async def test_what_is_no_event_at_all_is_undeliverable(world: World) -> None:
    for body in (b"", b"[]", b'{"id": 7}', b"\xff"):
        with pytest.raises(Undeliverable):
            await world.bound.follow(CONSUMER, "billing.stripe_events.a.b", body)


async def test_types_that_nobody_applies_are_passed_over(world: World) -> None:
    event = {"id": "evt_1", "type": "charge.succeeded", "created": NEW_YEAR, "data": {"object": {}}}

    await world.bound.follow(CONSUMER, "billing.stripe_events.charge.succeeded", json.dumps(event).encode())

    assert await world.reports() == []


async def test_what_is_changed_on_stripe_s_pages_is_taken_over(world: World) -> None:
    stripe_customer_id = await known_customer(world)
    await world.catches_up()
    world.stripe.v1.customers.update(stripe_customer_id, {"email": "new@acme.example"})
    await world.catches_up()
    world.stripe.v1.customers.delete(stripe_customer_id)
    await world.catches_up()

    told = await world.told("customer")
    assert [name for name, _ in told] == ["createdV1", "updatedV1", "updatedV1"]
    assert told[1][1]["customer"]["email"] == "new@acme.example"
    assert told[2][1]["customer"]["stripe_customer_id"] is None


@pytest.mark.parametrize("last", ["customer.deleted", "customer.subscription.deleted"])
async def test_a_customer_deleted_in_stripe_loses_everything(world: World, last: str) -> None:
    stripe_customer_id = await known_customer(world)
    await world.buys()
    await world.catches_up()
    invoice = next(event for event in world.stripe_events() if event["type"] == "invoice.paid")
    world.stripe.v1.customers.delete(stripe_customer_id)
    late = {**invoice, "id": "evt_late", "type": "invoice.updated"}

    await world.hears(*sorted(world.new_events(), key=lambda event: event["type"] == last), late)

    assert (await world.subscription())["status"] == "canceled"
    assert await world.bucket() == {}
    assert {report["status"] for report in await world.reports()} == {"applied"}
    # A returning customer starts again.
    assert (await world.register())["stripe_customer_id"] not in (None, stripe_customer_id)
    await world.buys()
    await world.catches_up()
    assert (await world.subscription())["status"] == "active"


async def test_a_long_invoice_is_told_with_all_its_lines(world: World) -> None:
    # 113 lines of 0.01 to 1.13: 113 × 114 / 2 = 64.41. Stripe sends the first few with the invoice.
    stripe_customer_id = await known_customer(world)
    v1 = world.stripe.v1
    card = v1.payment_methods.attach("pm_card_visa", {"customer": stripe_customer_id}).id
    invoice = v1.invoices.create({"customer": stripe_customer_id, "currency": "eur"}).id
    for number in range(1, 114):
        item: Any = {"customer": stripe_customer_id, "invoice": invoice, "currency": "eur", "amount": number}
        v1.invoice_items.create(item)
    v1.invoices.finalize_invoice(invoice)
    v1.invoices.pay(invoice, {"payment_method": card})
    async with httpx.AsyncClient(base_url=world.stand_in.url, auth=(SECRET_KEY, "")) as stripe:
        [paid] = (await stripe.get("/v1/events", params={"type": "invoice.paid"})).json()["data"]
    assert len(paid["data"]["object"]["lines"]["data"]) == 10

    await world.hears(paid)

    [found] = (await world.asks(m.ListInvoices(customer=ACME)))["items"]
    assert (found["total"], len(found["lines"])) == (6441, 113)
    assert sum(line["amount"] for line in found["lines"]) == 6441


async def test_a_failed_payment_is_told_with_its_attempt(world: World) -> None:
    stripe_customer_id = await known_customer(world)
    await world.buys("solo_monthly")
    await world.catches_up()
    invoice = next(e for e in world.stripe_events() if e["type"] == "invoice.paid")["data"]["object"]
    subscription_id = (await world.subscription())["subscription_id"]
    unpaid = {
        **invoice,
        "id": "in_second",
        "customer": stripe_customer_id,
        "status": "open",
        "amount_paid": 0,
    }
    failed = {
        "id": "evt_failed",
        "type": "invoice.payment_failed",
        "created": NEW_YEAR,
        "data": {"object": {**unpaid, "attempt_count": 1}},
    }
    again = {
        **failed,
        "id": "evt_failed_again",
        "created": NEW_YEAR + MONTH,
        "data": {"object": {**unpaid, "attempt_count": 2}},
    }

    await world.hears(failed, failed, again)

    of_second = [
        (name, body["invoice"]["attempt_count"])
        for name, body in await world.told("invoice")
        if body["invoice"]["stripe_invoice_id"] == "in_second"
    ]
    assert of_second[0][0] == "createdV1"
    assert of_second[1:] == [("paymentFailedV1", 1), ("paymentFailedV1", 2)]
    assert (await world.told("invoice"))[-1][1]["invoice"]["subscription_id"] == subscription_id


async def test_a_payment_that_has_to_be_confirmed_is_told(world: World) -> None:
    stripe_customer_id = await known_customer(world)
    await world.buys("solo_monthly")
    await world.catches_up()
    invoice = next(e for e in world.stripe_events() if e["type"] == "invoice.paid")["data"]["object"]
    waiting = {
        **invoice,
        "id": "in_confirm",
        "customer": stripe_customer_id,
        "status": "open",
        "amount_paid": 0,
        "attempt_count": 1,
    }
    event = {
        "id": "evt_confirm",
        "type": "invoice.payment_action_required",
        "created": NEW_YEAR,
        "data": {"object": waiting},
    }

    await world.hears(event)

    told = [
        name
        for name, body in await world.told("invoice")
        if body["invoice"]["stripe_invoice_id"] == "in_confirm"
    ]
    assert told == ["createdV1", "updatedV1", "paymentActionRequiredV1"]


async def _subscribe_in_stripe(world: World, stripe_customer_id: str) -> None:
    """A subscription made with Stripe's own API, paid with a saved card."""
    card = world.stripe.v1.payment_methods.attach("pm_card_visa", {"customer": stripe_customer_id})
    [price] = world.stripe.v1.prices.list({"lookup_keys": ["solo_monthly"]}).data
    world.stripe.v1.subscriptions.create(
        {
            "customer": stripe_customer_id,
            "items": [{"price": price.id}],
            "default_payment_method": card.id,
        }
    )
