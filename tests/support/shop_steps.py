"""Steps that several stories of a customer share: subscribing, paying late, opening a team."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from tallystick.messages import seats as s
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer
from tests.support.shop import Shop, fresh_id
from tests.support.waiting import eventually

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
HOURS = "mentorship_hours"
WAYS = ("requests", "commands")
"""The two ways to send a command: a request, or a message in the queue."""


def create(shop: Shop, price: str = "essential_monthly", **fields: Any) -> m.CreateSubscription:
    """A command that subscribes the test's customer without a checkout page."""
    items = [m.ItemToBuy(price=price)]
    return m.CreateSubscription(command_id=fresh_id("create"), customer=shop.acme, items=items, **fields)


def reaches(shop: Shop, clock: str, moment: datetime) -> None:
    """Let a test clock's time pass until a moment."""
    params: Any = {"frozen_time": int(moment.timestamp())}
    shop.stripe.v1.test_helpers.test_clocks.advance(clock, params)


async def stripe_customer(shop: Shop) -> str:
    found = (await shop.billing.ask(m.GetCustomer(customer=shop.acme))).customer
    return str(found.stripe_customer_id)


async def is_settled(shop: Shop, **wanted: Any) -> m.SubscriptionSnapshot:
    """Wait until the customer's subscription has these values."""

    async def has_them() -> m.SubscriptionSnapshot | None:
        found = await shop.subscription()
        return found if all(getattr(found, name) == value for name, value in wanted.items()) else None

    settled: m.SubscriptionSnapshot = await eventually(has_them)
    return settled


async def pays_what_is_owed(shop: Shop, customer_id: str) -> None:
    """Save a good card, and wait until it has paid the open invoice."""
    [owed] = shop.stripe.v1.invoices.list({"customer": customer_id, "status": "open"}).data
    shop.saves_card(customer_id)
    await eventually(lambda: shop.stripe.v1.invoices.retrieve(owed.id).status == "paid")


def somebody() -> Customer:
    """A user of the host application that no other test uses."""
    return Customer(type="user", id=fresh_id("member"))


async def opens(shop: Shop, seats: int, **fields: Any) -> s.TeamSnapshot:
    """Subscribe to a team plan with this many seats; return the team once it is open."""
    command = m.CreateSubscription(
        command_id=fresh_id("create"),
        customer=shop.acme,
        items=[m.ItemToBuy(price="team_monthly", quantity=seats)],
        trial_days=0,
        **fields,
    )
    subscription_id = (await shop.billing.call(command)).subscription.subscription_id

    async def is_open() -> s.TeamSnapshot | None:
        outcome = await shop.billing.answer(s.GetTeam(subscription_id=subscription_id))
        return (await team_of(shop, subscription_id)) if outcome.status == "succeeded" else None

    opened: s.TeamSnapshot = await eventually(is_open)
    return opened


async def team_of(shop: Shop, subscription_id: str) -> s.TeamSnapshot:
    """A team as it stands."""
    return (await shop.billing.ask(s.GetTeam(subscription_id=subscription_id))).team


async def has_nothing(shop: Shop, member: Customer) -> bool:
    """Whether the bucket has no hours for a member."""
    return await shop.bucket(HOURS, member) is None


def subscribe_for_free(shop: Shop, price: str = "starter_free", **fields: Any) -> m.CreateSubscription:
    """A command that subscribes the test's customer to a free price."""
    customer = fields.pop("customer", shop.acme)
    return m.CreateSubscription(
        command_id=fresh_id("free"), customer=customer, items=[m.ItemToBuy(price=price)], **fields
    )


@asynccontextmanager
async def outcomes(shop: Shop) -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    """An inbox, and the outcomes that have arrived there."""
    connection = shop.billing.connection.nats
    inbox, arrived = connection.new_inbox(), []

    async def keep(message: Any) -> None:
        arrived.append(json.loads(message.data))

    subscription = await connection.subscribe(inbox, cb=keep)
    yield inbox, arrived
    await subscription.unsubscribe()


async def sent(shop: Shop, way: str, name: str, body: bytes) -> dict[str, Any]:
    """Send a body as a request or through the queue and return its outcome."""
    connection = shop.billing.connection.nats
    subject = f"billing.{way}.subscriptions.{name}"
    if way == "requests":
        outcome: dict[str, Any] = json.loads((await connection.request(subject, body, timeout=10)).data)
        return outcome
    async with outcomes(shop) as (inbox, arrived):
        await connection.publish(subject, body, headers={"Billing-Reply-To": inbox})
        answered: list[dict[str, Any]] = await eventually(lambda: arrived)
        return answered[0]
