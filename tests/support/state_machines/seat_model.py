"""The model of a seat, and a stub of subscriptions that sells seats."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from nats.aio.client import Client
from nats.aio.msg import Msg

from tallystick.messages import subscriptions as s
from tests.support.worlds.seats import PERIOD_END, SeatWorld, team_item

MOST_SEATS = 6
Answer = Literal["yes", "no", "silence"]


@dataclass(slots=True)
class ModelSeat:
    """A seat in the model."""

    email: str | None
    member: str | None
    multiplier: int
    status: str = "pending"
    token: str | None = None
    expires_at: datetime | None = None


@dataclass(slots=True)
class Subscriptions:
    """A stub of subscriptions for changes of the number of seats."""

    world: SeatWorld
    connection: Client
    answer: Answer = "yes"
    subscription: str = ""

    async def listen(self) -> None:
        """Answer on the subject of `change_held_quantity` as configured."""
        await self.connection.subscribe(
            "billing.requests.subscriptions.change_held_quantity", cb=self._answer
        )
        await self.connection.flush()

    async def _answer(self, message: Msg) -> None:
        if self.answer == "silence":
            error = {"code": "unavailable", "message": ""}
            await message.respond(json.dumps({"status": "failed", "error": error}).encode())
            return
        if self.answer == "no":
            error = {"code": "payment_failed", "message": "Declined."}
            await message.respond(json.dumps({"status": "rejected", "error": error}).encode())
            return
        told = changed(self.world.told[self.subscription], json.loads(message.data))
        self.world.told[self.subscription] = told
        result = s.SubscriptionChanged(subscription=told, scheduled_change=told.scheduled_change)
        body = {"status": "succeeded", "result": result.model_dump(mode="json")}
        await message.respond(json.dumps(body).encode())


def changed(told: s.SubscriptionSnapshot, asked: dict[str, Any]) -> s.SubscriptionSnapshot:
    """A subscription after a change of quantity; by default more at once, less at the period's end."""
    quantity, now = asked["quantity"], told.items[0].quantity
    waits = asked.get("when") != "now" and quantity < now
    return told.model_copy(
        update={
            "version": told.version + 1,
            "items": told.items if waits else [team_item(quantity, maximum=MOST_SEATS)],
            "scheduled_change": scheduled(quantity) if waits else None,
        }
    )


def scheduled(quantity: int) -> s.ScheduledChange:
    """A number of seats that is scheduled for the period's end."""
    return s.ScheduledChange(product="team", price="team_monthly", quantity=quantity, at=PERIOD_END)
