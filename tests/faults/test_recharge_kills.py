"""Workers and servers are killed during recharges: each charge has exactly one grant, and the reverse."""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import stripe

import tallystick
from shared.operations.audit import audit
from tallystick.messages import consumables as c
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer
from tallystick.messages.catalog import ApplyCatalog
from tests.support.stack import STRIPE_KEY, System, whole_system
from tests.support.waiting import eventually

SEED = 20260201
BUYERS = 4
USES = 45
"""Of one unit each: an account of 10 that buys 10 whenever less than 5 are left does so four times."""
VICTIMS = ("consumables", "subscriptions", "nats", "consumables", "postgres", "subscriptions", "consumables")
PAUSE_SECONDS = (0.5, 3.0)
CALL_SECONDS = 120.0
"""Longer than any outage in the test: a client that keeps asking gets an answer."""
SETTLED_WITHIN_SECONDS = 120.0
PRICE = 1500
QUANTITY = 10

CATALOG: dict[str, Any] = {
    "features": [
        {
            "code": "hours",
            "name": "Hours",
            "kind": "consumable",
            "unit_price": {"amount": PRICE, "currency": "eur"},
        }
    ],
    "products": [
        {
            "code": "starter",
            "name": "Starter",
            "kind": "plan",
            "features": [{"feature": "hours", "quantity": QUANTITY}],
            "prices": [{"code": "starter_free", "model": "free", "interval": "month"}],
        }
    ],
}


@pytest.fixture
def system() -> Iterator[System]:
    """A system whose processes the test may kill."""
    with whole_system(without=("licenses", "monitoring", "payouts", "notifications")) as running:
        yield running


@dataclass(slots=True)
class Buyer:
    """A customer who consumes units one at a time."""

    billing: tallystick.Client
    customer: Customer
    stripe_id: str = ""
    used: int = 0

    @property
    def account(self) -> str:
        """The customer's own account."""
        return f"customer:{self.customer.token}"

    async def prepare(self, client: stripe.StripeClient) -> None:
        """Subscribe, save a card, and set a rule that recharges below five units."""
        name = self.customer.id
        register = m.RegisterCustomer(
            command_id=f"register {name}", customer=self.customer, email="a@example.com"
        )
        self.stripe_id = str((await self.billing.call(register)).customer.stripe_customer_id)
        card = client.v1.payment_methods.attach("pm_card_visa", {"customer": self.stripe_id})
        settings: Any = {"invoice_settings": {"default_payment_method": card.id}}
        client.v1.customers.update(self.stripe_id, settings)
        subscribe = m.CreateSubscription(
            command_id=f"subscribe {name}",
            customer=self.customer,
            items=[m.ItemToBuy(price="starter_free")],
        )
        await self.billing.call(subscribe)
        await eventually(self._has_units)
        await self.billing.call(
            c.SetAutoRecharge(
                command_id=f"rule {name}",
                account=self.account,
                feature="hours",
                enabled=True,
                threshold=5,
                recharge_quantity=QUANTITY,
            )
        )

    async def live(self) -> None:
        """Consume units one by one; each command is retried until it has an answer."""
        tries = 0
        while self.used < USES:
            tries += 1
            command = c.Consume(
                command_id=f"use {self.customer.id} {tries}", consumer=self.customer, feature="hours"
            )
            try:
                await self.billing.call(command, deadline_seconds=CALL_SECONDS)
            except tallystick.CommandRejected as rejection:
                if rejection.code != "insufficient_balance":
                    raise
                # Until what is being bought has been paid.
                await asyncio.sleep(0.05)
            else:
                self.used += 1

    async def recharges(self) -> list[c.RechargeSnapshot]:
        """Return all recharges of the account."""
        question = c.ListRecharges(account=self.account, limit=200)
        return (await self.billing.ask(question, deadline_seconds=CALL_SECONDS)).items

    async def is_settled(self) -> bool:
        """Return whether no recharge is pending."""
        return all(one.status == "paid" for one in await self.recharges())

    async def _has_units(self) -> bool:
        question = c.GetBalance(account=self.account, feature="hours")
        return (await self.billing.answer(question)).status == "succeeded"


@pytest.mark.timeout(420)
async def test_after_any_kill_each_recharge_is_paid_and_granted_once(system: System) -> None:
    client = stripe.StripeClient(STRIPE_KEY, base_addresses={"api": system.stripe_url})
    running = system.stack
    async with tallystick.connect(running.nats.users["client"]) as billing:
        await billing.call(ApplyCatalog(command_id="catalog", catalog=CATALOG))
        buyers = [Buyer(billing, Customer(type="user", id=f"buyer-{number}")) for number in range(BUYERS)]
        for buyer in buyers:
            await buyer.prepare(client)
        lives = [asyncio.create_task(buyer.live()) for buyer in buyers]
        chance = random.Random(SEED)
        for victim in VICTIMS:
            # The moment itself is what varies here; nothing is waited for.
            await asyncio.wait(lives, timeout=chance.uniform(*PAUSE_SECONDS))
            await asyncio.to_thread(running.kill, victim)
            await asyncio.to_thread(running.restart, victim)
        await asyncio.gather(*lives)
        for buyer in buyers:
            await eventually(buyer.is_settled, within_seconds=SETTLED_WITHIN_SECONDS)
            bought = await buyer.recharges()
            assert len(bought) >= 4
            listed = client.v1.charges.list({"customer": buyer.stripe_id, "limit": 100}).data
            collected = [one.amount for one in listed if one.status == "succeeded"]
            assert collected == [QUANTITY * PRICE] * len(bought)
            balance = await billing.ask(c.GetBalance(account=buyer.account, feature="hours"))
            assert balance.consumed == USES
            assert balance.remaining == QUANTITY * (1 + len(bought)) - USES

        async def is_clean() -> bool:
            found = await audit(running.owner_url, running.nats.url, prefix="billing")
            broken = {name: violations for name, violations in found.items() if violations}
            assert not broken
            return True

        await eventually(is_clean, within_seconds=SETTLED_WITHIN_SECONDS)
