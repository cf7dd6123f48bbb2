"""A customer on a test clock whose plan includes 5 hours a month; each hour beyond costs 2.00."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.consumables.app import service
from shared.messaging.service_client import ServiceClient
from shared.settings import CommonSettings
from tallystick.messages import catalog
from tallystick.messages import consumables as c
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Command, Event
from tallystick.subjects import COMMANDS_STREAM
from tests.support.answering import answering
from tests.support.runtime import Bound
from tests.support.servers import NatsServer
from tests.support.worlds.plan_changes import FEBRUARY, NEW_YEAR, Crew
from tests.support.worlds.subscriptions import ACME, World

OWN = "customer:organization_acme"
DAY = timedelta(days=1)
FEED: dict[str, type[Event]] = {
    "feature": catalog.FeatureEvent,
    "subscription": m.SubscriptionEvent,
    "customer": m.CustomerEvent,
}


def overage_catalog(**price: Any) -> dict[str, Any]:
    """A plan of 49.00 with 5 hours, and a smaller one with 2."""
    prices = {"model": "flat", "currency": "eur", "interval": "month"}

    def plan(code: str, hours: int, amount: int) -> dict[str, Any]:
        return {
            "code": code,
            "name": code.title(),
            "kind": "plan",
            "features": [{"feature": "hours", "quantity": hours, "every": "month"}],
            "prices": [prices | {"code": f"{code}_monthly", "unit_amount": amount}],
        }

    unit_price = {"amount": 200, "currency": "eur"} | price
    return {
        "features": [
            {"code": "hours", "name": "Hours", "kind": "consumable", "overage": {"unit_price": unit_price}}
        ],
        "products": [plan("solo", 5, 4900), plan("small", 2, 900)],
    }


@dataclass(slots=True)
class Metered:
    """Consumables, and subscriptions with Stripe answering it; the test delivers events and commands."""

    bound: Bound
    crew: Crew
    now: datetime = NEW_YEAR
    delivered: int = 0
    handled: int = 0
    _commands: int = 0

    @property
    def shop(self) -> World:
        """The subscriptions service."""
        return self.crew.world

    async def begins(self, **params: Any) -> None:
        """Subscribe the customer on 1 January."""
        await self.crew.begins("solo_monthly", 1, **params)
        await self.events_arrive()

    async def does(self, command: Command[Any]) -> dict[str, Any]:
        """Handle a command of consumables that must succeed."""
        outcome = await self.bound.handle(command, self.now)
        assert outcome.status == "succeeded", outcome.error
        assert outcome.result is not None
        return outcome.result

    async def uses(self, quantity: int) -> str:
        """Consume hours; return the id of the command."""
        self._commands += 1
        command_id = f"use-{self._commands}"
        await self.does(c.Consume(command_id=command_id, consumer=ACME, feature="hours", quantity=quantity))
        return command_id

    async def events_arrive(self) -> None:
        """Deliver the new events of subscriptions to consumables."""
        feed = await self.shop.bound.feed()
        self.bound.now = self.now
        for subject, body in feed[self.delivered :]:
            model = FEED.get(subject.split(".")[2])
            if model is not None:
                await self.bound.hears(model.model_validate_json(json.dumps(body)))
        self.delivered = len(feed)

    async def reaches(self, moment: datetime) -> None:
        """Let the time pass, in Stripe too, with all events."""
        self.now = moment
        await self.crew.reaches(moment)
        await self.events_arrive()

    async def queued(self) -> list[bytes]:
        """Return the queued charges so far."""
        rows = await self.bound.outbox(COMMANDS_STREAM)
        return [row["payload"] for row in rows if row["subject"].endswith(".charge_overage")]

    async def charges(self) -> list[str]:
        """Handle the charges that are queued and were not handled; return their status."""
        new = (await self.queued())[self.handled :]
        self.handled += len(new)
        found = []
        for body in new:
            outcome = await self.bound.handle_body("charge_overage", body, self.now)
            assert outcome.status == "succeeded", outcome
            assert outcome.result is not None
            charge: Any = outcome.result["charge"]
            found.append(str(charge["status"]))
        return found

    async def owed(self) -> list[tuple[int, int, bool]]:
        """Return the units owed, those charged, and whether that is closed, by period."""
        rows = await self.bound.rows(
            """SELECT consumed, charged, closed_at IS NOT NULL AS is_closed FROM consumables.overages
               JOIN consumables.grants USING (grant_id) ORDER BY period_start"""
        )
        return [(row["consumed"], row["charged"], row["is_closed"]) for row in rows]

    def invoices(self) -> list[tuple[str, int]]:
        """Return status and total of the customer's invoices in Stripe, oldest first."""
        listed = self.shop.stripe.v1.invoices.list({"customer": self.crew.theirs, "limit": 100}).data
        return [(str(found.status), int(found.total)) for found in reversed(listed)]

    def lines(self) -> list[tuple[str, int]]:
        """Return description and amount of the lines beyond the plan's on all invoices, oldest first."""
        listed = self.shop.stripe.v1.invoices.list({"customer": self.crew.theirs, "limit": 100}).data
        lines = [line for found in reversed(listed) for line in found.lines.data]
        return [(str(line.description), line.amount) for line in lines if "beyond" in str(line.description)]


@asynccontextmanager
async def metered_world(bind: Callable[..., Bound], crew: Crew, server: NatsServer) -> AsyncIterator[Metered]:
    """Consumables, and subscriptions answering it."""
    client = ServiceClient(CommonSettings(nats_url=server.users["consumables"]), "consumables")
    world = Metered(bind(service, client), crew)
    try:
        async with answering(crew.world.bound.runtime, server):
            yield world
    finally:
        await client.close()


__all__ = ["DAY", "FEBRUARY", "OWN", "Metered", "metered_world", "overage_catalog"]
