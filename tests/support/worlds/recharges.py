"""Accounts with auto-recharge: consumables, and subscriptions with Stripe, over NATS."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from services.consumables.app import service
from services.consumables.domain.balance import NewGrant
from services.consumables.ledger.repository import Account, open_balances
from services.consumables.ledger.writer import write
from services.consumables.recharges.purchase import recharge_low_balances
from shared.ids import new_id
from shared.messaging.service_client import ServiceClient
from shared.settings import CommonSettings
from tallystick.messages import catalog
from tallystick.messages import consumables as m
from tallystick.messages.base import Command, Customer, Question
from tallystick.messages.subscriptions import InvoiceEvent
from tallystick.subjects import COMMANDS_STREAM
from tests.support.answering import answering
from tests.support.runtime import Bound
from tests.support.servers import NatsServer
from tests.support.worlds.subscriptions import ACME, World

ACCOUNT = "customer:organization_acme"
FEATURE = "hours"
PRICE = 1500


@dataclass(slots=True)
class RechargeWorld:
    """Both services on one database; queued commands are handled when the test says so."""

    bound: Bound
    shop: World
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    handled: int = 0
    """How many of the queued commands were handled."""
    heard: int = 0
    """How many of the shop's events were heard."""
    _commands: int = 0

    def command_id(self) -> str:
        """Return a fresh command id."""
        self._commands += 1
        return f"consumables-{self._commands}"

    async def does(self, message: Command[Any] | Question[Any]) -> dict[str, Any]:
        """Handle a command that must succeed and return its result."""
        outcome = await self.bound.handle(message, self.now)
        assert outcome.status == "succeeded", outcome.error
        assert outcome.result is not None
        return outcome.result

    async def refuses(self, message: Command[Any] | Question[Any]) -> str:
        """Handle a command that must be rejected and return its code."""
        outcome = await self.bound.handle(message, self.now)
        assert outcome.status == "rejected", outcome
        assert outcome.error is not None
        return outcome.error.code

    async def set_rule(self, **fields: Any) -> dict[str, Any]:
        """Set a rule for the account: by default, buy 50 below 20."""
        known: dict[str, Any] = {
            "account": ACCOUNT,
            "feature": FEATURE,
            "enabled": True,
            "threshold": 20,
            "recharge_quantity": 50,
        }
        command = m.SetAutoRecharge(command_id=self.command_id(), **(known | fields))
        rule: dict[str, Any] = (await self.does(command))["auto_recharge"]
        return rule

    async def has(
        self,
        quantity: int | None,
        account: str = ACCOUNT,
        customer: Customer = ACME,
        expires_at: datetime | None = None,
    ) -> None:
        """Give units to an account."""
        async with self.bound.runtime.transactions.begin(caused_by="given", now=self.now) as work:
            batch = await open_balances(work, [Account(account, FEATURE, "consumable", customer.token)])
            source = {"kind": "manual"}
            new = NewGrant(new_id("grant"), quantity, expires_at, 100, source, self.command_id())
            batch.add_grants(batch.balances[account, FEATURE], [new])
            await write(work, batch, emit_levels=False)

    def wants(self, quantity: int, account: str = ACCOUNT) -> m.Consume:
        """Return a command that consumes units of an account."""
        return m.Consume(
            command_id=self.command_id(), consumer=ACME, feature=FEATURE, quantity=quantity, account=account
        )

    async def uses(self, quantity: int, account: str = ACCOUNT) -> int | None:
        """Consume units of an account and return what remains."""
        result = await self.does(self.wants(quantity, account))
        left: int | None = result["remaining"]
        return left

    async def remaining(self, account: str = ACCOUNT) -> int:
        """What an account has left."""
        (row,) = await self.bound.rows(
            "SELECT remaining FROM consumables.balances WHERE account = %s AND feature = %s", account, FEATURE
        )
        return int(row["remaining"])

    async def looks(self, account: str = ACCOUNT) -> None:
        """Trigger the check for low balances, as any commit does."""
        async with self.bound.runtime.transactions.begin(caused_by="looked", now=self.now) as work:
            await recharge_low_balances(work, [(account, FEATURE)])

    async def charges(self) -> int:
        """Handle the queued charges and return their number."""
        queued = [
            row["payload"]
            for row in await self.bound.outbox(COMMANDS_STREAM)
            if row["subject"].endswith(".charge_recharge")
        ]
        new = queued[self.handled :]
        for body in new:
            outcome = await self.bound.handle_body("charge_recharge", body, self.now)
            assert outcome.status == "succeeded", outcome
        self.handled = len(queued)
        return len(new)

    async def hears(self) -> None:
        """Deliver the new events of subscriptions about features and invoices."""
        feed = await self.shop.bound.feed()
        for subject, body in feed[self.heard :]:
            entity, name = subject.split(".")[2], subject.split(".")[-1].removesuffix("V1")
            events: dict[str, Any] = {"feature": catalog.FeatureEvent, "invoice": InvoiceEvent}
            if entity in events:
                await self.bound.hears(events[entity].model_validate_json(json.dumps(body)), name)
        self.heard = len(feed)

    async def told(self) -> list[tuple[str, int, str | None]]:
        """The recharges' events: name, quantity, reason."""
        return [
            (
                subject.split(".")[-1],
                body["recharge"]["quantity"],
                body["recharge"]["reason"],
            )
            for subject, body in await self.bound.feed()
            if subject.split(".")[2] == "recharge"
        ]

    def paid_amounts(self, stripe_id: str) -> list[int]:
        """Return the amounts that Stripe has collected, oldest first."""
        listed = self.shop.stripe.v1.charges.list({"customer": stripe_id, "limit": 100}).data
        return [found.amount for found in reversed(listed) if found.status == "succeeded"]

    async def with_card(self, card: str = "pm_card_visa") -> str:
        """Register the customer with a saved card; return the Stripe customer id."""
        stripe_id: str = (await self.shop.register())["stripe_customer_id"]
        self.takes_card(stripe_id, card)
        return stripe_id

    def takes_card(self, stripe_id: str, card: str) -> None:
        """Let another card be the one that is charged."""
        method = self.shop.stripe.v1.payment_methods.attach(card, {"customer": stripe_id})
        settings: Any = {"invoice_settings": {"default_payment_method": method.id}}
        self.shop.stripe.v1.customers.update(stripe_id, settings)


@asynccontextmanager
async def recharge_world(
    bind: Callable[..., Bound], shop: World, server: NatsServer
) -> AsyncIterator[RechargeWorld]:
    """Consumables, and subscriptions answering it."""
    client = ServiceClient(CommonSettings(nats_url=server.users["consumables"]), "consumables")
    world = RechargeWorld(bind(service, client), shop)
    await world.hears()
    try:
        async with answering(shop.bound.runtime, server):
            yield world
    finally:
        await client.close()
