"""A customer's view of the running product: over NATS, the checkout page, and Stripe's own SDK."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx
import psycopg
import stripe
from nats import connect
from nats.js.errors import KeyNotFoundError
from psycopg import sql

from sandbox.stripe.deliveries import signature
from tallystick.client import Client, CommandRejected, EntitlementsMirror, FeedEvent, QuestionRejected
from tallystick.messages import subscriptions as m
from tallystick.messages import webhooks as w
from tallystick.messages.base import Command, Customer, Question
from tallystick.subjects import ENTITLEMENTS_BUCKET, entitlement_key
from tests.support.stack import STRIPE_KEY, WEBHOOK_SECRET, System
from tests.support.waiting import eventually

GOOD_CARD = "4242 4242 4242 4242"
DECLINED_CARD = "4000 0000 0000 0002"
FAILS_LATER_CARD = "pm_card_chargeCustomerFail"
SUCCESS_URL = "https://shop.example/thanks"
CANCEL_URL = "https://shop.example/plans"


def fresh_id(kind: str) -> str:
    """An id that no other test uses."""
    return f"{kind}-{uuid.uuid4().hex[:12]}"


@dataclass(slots=True)
class TolerantModel:
    """The events of the feed so far."""

    events: list[FeedEvent] = field(default_factory=list)

    def of(self, entity: str) -> list[FeedEvent]:
        """The events of one kind of entity."""
        return [event for event in self.events if event.entity == entity]

    def names(self, entity: str) -> list[str]:
        """The names of an entity's events, in order."""
        return [event.event for event in self.of(entity)]

    def check(self) -> None:
        """Check that versions count from 1 without a gap and each event has a complete snapshot."""
        last: dict[str, int] = {}
        for event in self.events:
            key = event.entity_key
            assert key is not None, event.subject
            assert event.model is not None, f"{event.subject} does not fit its published model"
            assert event.version == last.get(key, 0) + 1, (key, event.version, last.get(key))
            assert event.snapshot["version"] == event.version, event.subject
            assert event.body["event_id"] == event.headers["ce-id"], event.subject
            assert event.body["caused_by"], event.subject
            last[key] = event.version


@dataclass(slots=True)
class Shop:
    """One test's customer with the client, the browser and Stripe's SDK."""

    system: System
    billing: Client
    browser: httpx.AsyncClient
    begun_at: int = field(default_factory=lambda: int(time.time()))
    """In Unix seconds."""
    acme: Customer = field(default_factory=lambda: Customer(type="organization", id=fresh_id("acme")))

    @property
    def stripe(self) -> stripe.StripeClient:
        """Stripe's own SDK, for changes that are made directly in Stripe."""
        return stripe.StripeClient(STRIPE_KEY, base_addresses={"api": self.system.stripe_url})

    # -- commands and questions -----------------------------------------------------------------------------

    async def refused(self, asked: Command[Any] | Question[Any]) -> tuple[str, Any]:
        """Return code and details of a command or question that is rejected."""
        try:
            if isinstance(asked, Command):
                await self.billing.call(asked)
            else:
                await self.billing.ask(asked)
        except (CommandRejected, QuestionRejected) as rejection:
            return rejection.code, rejection.details
        raise AssertionError(f"{asked!r} was not rejected")

    async def register(self, customer: Customer | None = None, **fields: Any) -> m.CustomerSnapshot:
        """Register a customer, by default this test's own."""
        command = m.RegisterCustomer(
            command_id=fresh_id("register"),
            customer=customer or self.acme,
            email=fields.pop("email", "pay@acme.example"),
            **fields,
        )
        return (await self.billing.call(command)).customer

    def checkout(self, price: str, quantity: int | None = None, **fields: Any) -> m.StartCheckout:
        """A command that opens a checkout page."""
        return m.StartCheckout(
            command_id=fresh_id("checkout"),
            customer=fields.pop("customer", self.acme),
            items=[m.ItemToBuy(price=price, quantity=quantity)],
            success_url=SUCCESS_URL,
            cancel_url=CANCEL_URL,
            **fields,
        )

    async def subscription(self, customer: Customer | None = None) -> m.SubscriptionSnapshot:
        """The customer's newest."""
        found = await self.billing.ask(m.GetSubscription(customer=customer or self.acme))
        return found.subscription

    async def has_status(
        self, status: str, customer: Customer | None = None
    ) -> m.SubscriptionSnapshot | None:
        """The customer's newest subscription if it has this status, for `eventually`."""
        found = await self.subscription(customer)
        return found if found.status == status else None

    async def becomes(self, status: str, customer: Customer | None = None) -> m.SubscriptionSnapshot:
        """Wait until the customer's newest subscription has this status."""
        found: m.SubscriptionSnapshot = await eventually(lambda: self.has_status(status, customer))
        return found

    async def allowed(self, feature: str, customer: Customer | None = None) -> m.Allowance:
        """What `check_entitlement` says."""
        return await self.billing.ask(m.CheckEntitlement(customer=customer or self.acme, feature=feature))

    async def cancel(self, subscription_id: str, at: Any = "now") -> m.SubscriptionSnapshot:
        """Cancel a subscription; return its snapshot."""
        command = m.CancelSubscription(command_id=fresh_id("cancel"), subscription_id=subscription_id, at=at)
        return (await self.billing.call(command)).subscription

    # -- the checkout page ----------------------------------------------------------------------------------

    async def page(self, url: str, **form: str) -> httpx.Response:
        """Post the form of the checkout page."""
        return await self.browser.post(url, data=form)

    async def buys(self, price: str, quantity: int | None = None, **fields: Any) -> m.SubscriptionSnapshot:
        """Check out and pay; the subscription once it runs."""
        wanted = "active" if fields.get("trial") is False or price != "team_monthly" else "trialing"
        customer = fields.get("customer", self.acme)
        started = await self.billing.call(self.checkout(price, quantity, **fields))
        answer = await self.page(started.checkout_url, card_number=GOOD_CARD)
        assert (answer.status_code, answer.headers.get("location")) == (303, SUCCESS_URL), answer.text

        async def runs() -> m.SubscriptionSnapshot | None:
            found = await self.subscription(customer)
            return found if found.status == wanted and _is_for(found, price) else None

        bought: m.SubscriptionSnapshot = await eventually(runs)
        return bought

    # -- Stripe ---------------------------------------------------------------------------------------------

    async def deliveries(self, **knobs: Any) -> dict[str, Any]:
        """Change or read how the stand-in delivers webhooks."""
        url = f"{self.system.stripe_url}/_sandbox/deliveries"
        answer = await (self.browser.post(url, json=knobs) if knobs else self.browser.get(url))
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def all_delivered(self) -> None:
        """Wait until no webhook is on its way any more."""

        async def nothing_waits() -> bool:
            return not (await self.deliveries())["waiting"]

        await eventually(nothing_waits)

    async def all_applied(self) -> None:
        """Wait until no webhook is on its way, and none that came in is still to be applied."""
        await self.all_delivered()

        async def nothing_to_do() -> bool:
            page = await self.billing.ask(w.ListEvents(status="received"))
            return all(event.last_error is not None for event in page.items)

        await eventually(nothing_to_do)

    def stripe_events(self, stripe_customer_id: str) -> list[dict[str, Any]]:
        """Return the Stripe events about a customer created in this test, oldest first."""
        params: Any = {"limit": 100, "created": {"gte": self.begun_at}}
        listed = self.stripe.v1.events.list(params).auto_paging_iter()
        events = [event.to_dict(for_json=True) for event in listed]
        return [event for event in reversed(events) if _customer_of(event) == stripe_customer_id]

    async def event_is(self, event_id: str, status: str) -> w.StoredEventWithPayload:
        """Wait until a stored event has this status."""

        async def stored() -> w.StoredEventWithPayload | None:
            found = (await self.billing.ask(w.GetEvent(event_id=event_id))).event
            return found if found.status == status else None

        event: w.StoredEventWithPayload = await eventually(stored)
        return event

    async def posts(self, event: dict[str, Any] | bytes, **headers: str) -> int:
        """Post an event to the ingress, signed as Stripe does unless headers are given; the HTTP status."""
        payload = event if isinstance(event, bytes) else json.dumps(event).encode()
        signed = {"Stripe-Signature": signature(WEBHOOK_SECRET, payload.decode(), int(time.time()))}
        answer = await self.browser.post(self.system.ingress_url, content=payload, headers=headers or signed)
        return answer.status_code

    async def on_a_clock(self, days: int = 0, *, since: datetime | None = None) -> str:
        """Adopt a Stripe customer with a card on a test clock, some days from the present; the clock's id.

        `since` is a moment instead of days.
        """
        begin = since.timestamp() if since is not None else time.time()
        frozen_time = int(begin) + days * 24 * 3600
        self.begun_at = min(self.begun_at, frozen_time)
        clock = self.stripe.v1.test_helpers.test_clocks.create({"frozen_time": frozen_time})
        theirs = self.stripe.v1.customers.create({"email": "pay@acme.example", "test_clock": clock.id})
        self.saves_card(theirs.id)
        await self.register(stripe_customer_id=theirs.id)
        return clock.id

    def saves_card(self, stripe_customer_id: str, card: str = "pm_card_visa") -> None:
        """Save a card at Stripe for all that is charged from now on."""
        method = self.stripe.v1.payment_methods.attach(card, {"customer": stripe_customer_id})
        settings: Any = {"invoice_settings": {"default_payment_method": method.id}}
        self.stripe.v1.customers.update(stripe_customer_id, settings)

    def advance(self, clock: str, to: datetime | None) -> None:
        """Let a test clock's time pass until an hour and a minute after a moment: drafts are final then."""
        assert to is not None
        params: Any = {"frozen_time": int((to + timedelta(minutes=61)).timestamp())}
        self.stripe.v1.test_helpers.test_clocks.advance(clock, params)

    async def lives_until(self, clock: str, moment: datetime) -> None:
        """Let a test clock's time pass until a moment, and wait until all that happened has been applied."""
        params: Any = {"frozen_time": int(moment.timestamp())}
        self.stripe.v1.test_helpers.test_clocks.advance(clock, params)
        await self.all_applied()

    async def tick(self, service: str, job: str, at: datetime) -> None:
        """Run a job for everything that is due by a moment."""
        nats = await connect(self.system.stack.nats.users["clock"])
        try:
            body = json.dumps({"at": at.isoformat()}).encode()
            await nats.request(f"billing.ticks.{service}.{job}", body, timeout=10)
        finally:
            await nats.close()

    # -- what others see ------------------------------------------------------------------------------------

    @asynccontextmanager
    async def feed(self, customer: Customer | str | None = None) -> AsyncIterator[TolerantModel]:
        """The change feed of one customer from its beginning; checked for completeness at the end."""
        told = TolerantModel()
        reader = asyncio.create_task(self._read(told, customer or self.acme))
        try:
            yield told
            told.check()
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _read(self, told: TolerantModel, customer: Customer | str) -> None:
        async with self.billing.events(customer=customer, start="all", repeated="yield") as feed:
            async for event in feed:
                told.events.append(event)

    @asynccontextmanager
    async def mirror(self, *customers: Customer) -> AsyncIterator[EntitlementsMirror]:
        """A local mirror of the entitlements of these customers, by default this test's own."""
        async with self.billing.entitlements(customers or [self.acme]) as mirror:
            yield mirror

    async def bucket(self, feature: str, customer: Customer | None = None) -> dict[str, Any] | None:
        """Return the bucket's entry for a customer's feature; None where there is no such key."""
        bucket = await self.billing.connection.jetstream().key_value(ENTITLEMENTS_BUCKET)
        try:
            entry = await bucket.get(entitlement_key((customer or self.acme).token, feature))
        except KeyNotFoundError:
            return None
        found: dict[str, Any] = json.loads(entry.value or b"")
        return found

    async def leaves_bucket(self, feature: str) -> None:
        """Wait until the bucket has no such key for this test's customer."""

        async def is_gone() -> bool:
            return await self.bucket(feature) is None

        await eventually(is_gone)

    async def rows(self, table: str, where: str = "true", *values: Any) -> int:
        """Count the rows of a table as the database's owner."""
        schema, _, name = table.partition(".")
        query = sql.SQL("SELECT count(*) FROM {} WHERE ").format(sql.Identifier(schema, name))
        async with await psycopg.AsyncConnection.connect(self.system.stack.owner_url) as connection:
            cursor = await connection.execute(query + sql.SQL(where), values)
            found = await cursor.fetchone()
        assert found is not None
        return int(found[0])


def _is_for(subscription: m.SubscriptionSnapshot, price: str) -> bool:
    return any(item.price == price for item in subscription.items)


def _customer_of(event: dict[str, Any]) -> str | None:
    thing = event["data"]["object"]
    found: str | None = thing["id"] if thing["object"] == "customer" else thing.get("customer")
    return found
