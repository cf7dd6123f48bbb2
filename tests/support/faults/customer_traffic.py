"""Customer traffic while servers are killed: registrations, purchases and cancellations, with all answers."""

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

import httpx
from pydantic import BaseModel, JsonValue

import tallystick
from tallystick.messages.base import Command, Customer
from tallystick.messages.catalog import ApplyCatalog
from tallystick.messages.subscriptions import (
    CancelSubscription,
    CreateSubscription,
    GetSubscription,
    RegisterCustomer,
    StartCheckout,
)

Result = TypeVar("Result", bound=BaseModel)

CARD = "4242424242424242"
CALL_SECONDS = 120.0
"""Longer than any outage in the test: a client that keeps asking gets an answer."""
PAGE_SECONDS = 60.0

CATALOG: dict[str, JsonValue] = {
    "features": [
        {"code": "exports", "name": "Exports", "kind": "flag"},
        {"code": "projects", "name": "Projects", "kind": "limit"},
    ],
    "products": [
        {
            "code": "pro",
            "name": "Pro",
            "kind": "plan",
            "features": [{"feature": "exports"}, {"feature": "projects", "quantity": 10}],
            "prices": [
                {
                    "code": "pro_monthly",
                    "currency": "eur",
                    "interval": "month",
                    "model": "flat",
                    "unit_amount": 4900,
                }
            ],
        },
        {
            "code": "starter",
            "name": "Starter",
            "kind": "plan",
            "features": [{"feature": "projects", "quantity": 1}],
            "prices": [{"code": "starter_free", "model": "free", "interval": "month"}],
        },
    ],
}


@dataclass(slots=True)
class Answered:
    """The commands that the system has confirmed."""

    registered: set[str] = field(default_factory=set)
    paid: set[str] = field(default_factory=set)
    free: dict[str, str] = field(default_factory=dict)
    """Customer to the subscription the answer named."""
    canceled: dict[str, str] = field(default_factory=dict)
    redelivered: int = 0


class Traffic:
    """Customers with short lives, as fast as the system allows."""

    def __init__(self, billing: tallystick.Client, *, seed: int) -> None:
        self._billing = billing
        self._random = random.Random(seed)
        self.answered = Answered()
        self.over = asyncio.Event()

    async def prepare(self) -> None:
        """Apply the catalog."""
        await self._billing.call(
            ApplyCatalog(command_id="catalog", catalog=CATALOG), deadline_seconds=CALL_SECONDS
        )

    async def flow(self, lane: int) -> None:
        """One customer after the other until the traffic is over."""
        async with httpx.AsyncClient(timeout=PAGE_SECONDS) as browser:
            number = 0
            while not self.over.is_set():
                await self._live(Customer(type="user", id=f"{lane}-{number}"), browser)
                number += 1

    async def _live(self, customer: Customer, browser: httpx.AsyncClient) -> None:
        name = customer.id
        register = RegisterCustomer(command_id=f"register-{name}", customer=customer, email="a@example.com")
        await self._billing.call(register, deadline_seconds=CALL_SECONDS)
        self.answered.registered.add(customer.token)
        if self._random.random() < 0.5:
            await self._subscribe_for_free(customer)
        else:
            await self._buy(customer, browser)

    async def _subscribe_for_free(self, customer: Customer) -> None:
        name = customer.id
        command = CreateSubscription.model_validate(
            {
                "command_id": f"free-{name}",
                "customer": customer.model_dump(),
                "items": [{"price": "starter_free"}],
            }
        )
        found = await self._twice(command)
        self.answered.free[customer.token] = found.subscription.subscription_id
        if self._random.random() < 0.5:
            subscription_id = found.subscription.subscription_id
            cancel = CancelSubscription(
                command_id=f"cancel-{name}", subscription_id=subscription_id, at="now"
            )
            await self._twice(cancel)
            self.answered.canceled[customer.token] = subscription_id

    async def _buy(self, customer: Customer, browser: httpx.AsyncClient) -> None:
        command = StartCheckout.model_validate(
            {
                "command_id": f"checkout-{customer.id}",
                "customer": customer.model_dump(),
                "items": [{"price": "pro_monthly"}],
                "success_url": "https://example.com/thanks",
                "cancel_url": "https://example.com/back",
            }
        )
        started = await self._twice(command)
        answer = await browser.post(started.checkout_url, data={"card_number": CARD})
        assert answer.status_code == 303, answer.text
        self.answered.paid.add(customer.token)

    async def _twice(self, command: Command[Result]) -> Result:
        """Call a command, and now and then once more with the same id: the answer must be the same."""
        first = await self._billing.call(command, deadline_seconds=CALL_SECONDS)
        if self._random.random() < 0.3:
            again = await self._billing.call(command, deadline_seconds=CALL_SECONDS)
            assert again == first
            self.answered.redelivered += 1
        return first

    async def subscription_status(self, token: str) -> str | None:
        """The status of a customer's newest subscription."""
        with suppress(tallystick.QuestionRejected):
            question = GetSubscription(customer=Customer.from_token(token))
            found = await self._billing.ask(question, deadline_seconds=CALL_SECONDS)
            return found.subscription.status
        return None
