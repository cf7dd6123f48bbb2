"""Subscriptions with a Stripe stand-in: purchases, and events in a chosen order."""

import copy
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import stripe

from services.subscriptions.stripe.client import StripeGateway
from tallystick.messages import catalog, webhooks
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Command, Customer, Question
from tallystick.subjects import COMMANDS_STREAM
from tests.support.catalogs import team_catalog
from tests.support.runtime import Bound
from tests.support.stripe import SECRET_KEY, StripeStandIn

ACME = Customer(type="organization", id="acme")
GOOD_CARD = "4242424242424242"
CONSUMER = "subscriptions-stripe-events"


@dataclass(slots=True)
class World:
    """The service on a database, with Stripe."""

    bound: Bound
    stand_in: StripeStandIn
    gateway: StripeGateway
    _commands: int = 0
    _applied: set[str] = field(default_factory=set)

    @property
    def stripe(self) -> stripe.StripeClient:
        """Stripe's own SDK, for changes that are made directly in Stripe."""
        return stripe.StripeClient(SECRET_KEY, base_addresses={"api": self.stand_in.url})

    def command_id(self) -> str:
        """Return a fresh command id."""
        self._commands += 1
        return f"command-{self._commands}"

    async def does(self, command: Command[Any]) -> dict[str, Any]:
        """Handle a command that must succeed and return its result."""
        outcome = await self.bound.handle(command, datetime.now(UTC))
        assert outcome.status == "succeeded", outcome.error
        assert outcome.result is not None
        return outcome.result

    async def refuses(self, command: Command[Any] | Question[Any]) -> tuple[str, Any]:
        """Handle a command or question that must be rejected and return code and details."""
        outcome = await self.bound.handle(command, datetime.now(UTC))
        assert outcome.status == "rejected", outcome
        assert outcome.error is not None
        return outcome.error.code, outcome.error.details

    async def apply_catalog(self) -> None:
        """Two plans with a price that costs and one that does not."""
        await self.does(catalog.ApplyCatalog(command_id=self.command_id(), catalog=team_catalog()))

    async def register(self, customer: Customer = ACME, **fields: Any) -> dict[str, Any]:
        """A registered customer."""
        command = m.RegisterCustomer(
            command_id=self.command_id(), customer=customer, email="pay@acme.example", **fields
        )
        found: dict[str, Any] = (await self.does(command))["customer"]
        return found

    def checkout(self, price: str = "solo_monthly", **fields: Any) -> m.StartCheckout:
        """A command that starts a checkout."""
        return m.StartCheckout(
            command_id=self.command_id(),
            customer=fields.pop("customer", ACME),
            items=[m.ItemToBuy(price=price, quantity=fields.pop("quantity", None))],
            success_url="https://shop.example/thanks",
            cancel_url="https://shop.example/plans",
            **fields,
        )

    async def buys(self, price: str = "solo_monthly", **fields: Any) -> dict[str, Any]:
        """Start a checkout and pay on its page; no event is applied yet."""
        started = await self.does(self.checkout(price, **fields))
        await self.pays(started["checkout_url"])
        return started

    async def pays(self, url: str) -> None:
        """Fill in the checkout page."""
        async with httpx.AsyncClient() as browser:
            answer = await browser.post(url, data={"card_number": GOOD_CARD, "email": "pay@acme.example"})
        assert answer.status_code == 303, answer.text

    def stripe_events(self) -> list[dict[str, Any]]:
        """Return the Stripe events that have handlers, oldest first, as webhooks would publish them."""
        answer = httpx.get(
            f"{self.stand_in.url}/v1/events", params={"limit": 100}, auth=(SECRET_KEY, "")
        ).json()
        assert not answer["has_more"], "more events than one page"
        events: list[dict[str, Any]] = answer["data"]
        return [event for event in reversed(events) if event["type"] in webhooks.APPLIED_EVENT_TYPES]

    def new_events(self) -> list[dict[str, Any]]:
        """Return the events that were not applied yet."""
        return [event for event in self.stripe_events() if event["id"] not in self._applied]

    async def hears(self, *events: dict[str, Any], attempt: int = 1) -> None:
        """Apply events in this order."""
        for event in events:
            self._applied.add(event["id"])
            subject = f"billing.stripe_events.{event['type']}"
            await self.bound.follow(CONSUMER, subject, json.dumps(event).encode(), attempt=attempt)

    async def catches_up(self) -> None:
        """Apply all new events of Stripe."""
        await self.hears(*self.new_events())

    def skips_new_events(self) -> None:
        """Mark the new events of Stripe as seen without applying them."""
        self._applied.update(event["id"] for event in self.stripe_events())

    async def told(self, entity: str) -> list[tuple[str, dict[str, Any]]]:
        """The events of an entity on the feed so far: name and body."""
        feed = await self.bound.feed()
        return [(subject.split(".")[-1], body) for subject, body in feed if subject.split(".")[2] == entity]

    async def names(self, entity: str) -> list[str]:
        """The names of an entity's events."""
        return [name for name, _ in await self.told(entity)]

    async def bucket(self) -> dict[str, dict[str, Any]]:
        """What the entitlements bucket holds once everything is published."""
        keys: dict[str, dict[str, Any]] = {}
        for row in await self.bound.outbox("KV_billing_entitlements"):
            key = row["subject"].removeprefix("$KV.billing_entitlements.")
            if row["headers"].get("KV-Operation") == "DEL":
                keys.pop(key)
            else:
                keys[key] = json.loads(row["payload"])
        return keys

    async def reports(self, name: str = "record_outcome") -> list[dict[str, Any]]:
        """Commands queued for webhooks."""
        rows = await self.bound.outbox(COMMANDS_STREAM)
        return [json.loads(row["payload"]) for row in rows if row["subject"].endswith(name)]

    async def asks(self, question: Question[Any]) -> dict[str, Any]:
        """The answer to a question that has one."""
        outcome = await self.bound.handle(question)
        assert outcome.result is not None, outcome
        return outcome.result

    async def subscription(self, customer: Customer = ACME) -> dict[str, Any]:
        """The customer's newest."""
        found: dict[str, Any] = (await self.asks(m.GetSubscription(customer=customer)))["subscription"]
        return found

    async def allowed(self, feature: str, customer: Customer = ACME) -> dict[str, Any]:
        """What check_entitlement says."""
        return await self.asks(m.CheckEntitlement(customer=customer, feature=feature))


def gapless(told: list[tuple[str, dict[str, Any]]], entity: str, key: str) -> bool:
    """Whether each entity's versions count from 1 without a gap, in the order of the feed."""
    last: dict[str, int] = {}
    for _, body in told:
        of = body[entity][key]
        if body["version"] != last.get(of, 0) + 1 or body[entity]["version"] != body["version"]:
            return False
        last[of] = body["version"]
    return True


def stripe_event(
    event_id: str, kind: str, at: int, subscription: dict[str, Any], **fields: Any
) -> dict[str, Any]:
    """An event about a subscription, made up: `kind` is created, updated or deleted."""
    return {
        "id": event_id,
        "object": "event",
        "type": f"customer.subscription.{kind}",
        "created": at,
        "data": {"object": {**copy.deepcopy(subscription), **fields}},
    }


OpenShop = Callable[..., Awaitable[World]]
