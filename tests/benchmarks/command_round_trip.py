"""Latency of a command on an idle system, compared with a bare round trip and a bare commit."""

from typing import Any

import uvloop
from pydantic import JsonValue

import tallystick
from tallystick.messages.base import Customer
from tallystick.messages.catalog import ApplyCatalog
from tallystick.messages.subscriptions import CreateSubscription, RegisterCustomer
from tests.benchmarks.floors import echoing, median_ms, nats_round_trip_ms, one_row_commit_ms
from tests.support.stack import Stack, stack

TIMES_FLOOR_WANTED = 4.0
COMMANDS = 300
CATALOG: dict[str, JsonValue] = {
    "features": [{"code": "reading", "name": "Reading", "kind": "flag"}],
    "products": [
        {
            "code": "free",
            "name": "Free",
            "kind": "plan",
            "features": [{"feature": "reading"}],
            "prices": [{"code": "free", "model": "free", "interval": "month"}],
        }
    ],
}


def run() -> dict[str, Any]:
    """The floors first, then the commands, all from one caller."""
    with stack() as running, running.worker("subscriptions"):
        return uvloop.run(_measure(running))


async def _measure(running: Stack) -> dict[str, Any]:
    async with (
        echoing(running.nats.users["subscriptions"]),
        tallystick.connect(running.nats.users["client"]) as billing,
    ):
        await billing.call(ApplyCatalog(command_id="catalog", catalog=CATALOG))

        async def register(number: int) -> object:
            customer = Customer(type="user", id=f"u{number}")
            return await billing.call(
                RegisterCustomer(
                    command_id=f"register-{number}", customer=customer, email="somebody@example.com"
                )
            )

        async def subscribe(number: int) -> object:
            customer = Customer(type="user", id=f"u{number}")
            items = [{"price": "free"}]
            command = {"command_id": f"subscribe-{number}", "customer": customer.model_dump(), "items": items}
            return await billing.call(CreateSubscription.model_validate(command))

        round_trip_ms = await nats_round_trip_ms(billing.connection.nats)
        commit_ms = await one_row_commit_ms(running.owner_url)
        register_ms = await median_ms(register, COMMANDS)
        subscribe_ms = await median_ms(subscribe, COMMANDS)
    return {
        "benchmark": "command_round_trip",
        "ratio": round(register_ms / (round_trip_ms + commit_ms), 2),
        "wanted": TIMES_FLOOR_WANTED,
        "lower_is_better": True,
        "register_customer_p50_ms": round(register_ms, 2),
        "create_subscription_p50_ms": round(subscribe_ms, 2),
        "nats_round_trip_p50_ms": round(round_trip_ms, 2),
        "one_row_commit_p50_ms": round(commit_ms, 2),
    }
