"""Entitlement checks per second of one process from its local mirror of the bucket."""

import asyncio
import json
import time
from typing import Any

import nats
from nats.js.api import KeyValueConfig

import tallystick
from tallystick.messages.base import Customer
from tests.support.servers import described, embedded_nats

CUSTOMERS = 1_000
FEATURES = 5
CHECKS = 1_000_000
WANTED_PER_SECOND = 500_000


def run() -> dict[str, Any]:
    """Fill a bucket, mirror it, check; the floor is a look into a dictionary by the same key."""
    with embedded_nats() as (server, _):
        return asyncio.run(_measure(described(server).users))


async def _measure(users: dict[str, str]) -> dict[str, Any]:
    admin = await nats.connect(users["admin"], inbox_prefix=b"_INBOX_admin")
    bucket = await admin.jetstream().create_key_value(KeyValueConfig(bucket="billing_entitlements"))
    value: dict[str, Any] = {
        "allowed": True,
        "quantity": None,
        "sources": [],
        "expires_at": None,
        "version": 1,
    }
    customers = [Customer(type="user", id=str(number)) for number in range(CUSTOMERS)]
    for customer in customers:
        for feature in range(FEATURES):
            await bucket.put(f"{customer.token}.feature_{feature}", json.dumps(value).encode())
    async with tallystick.connect(users["client"]) as billing, billing.entitlements() as mirror:
        asked = [(customer, f"feature_{feature}") for customer in customers for feature in range(FEATURES)]
        allowed, seconds = 0, 0.0
        for _ in range(CHECKS // len(asked)):
            started = time.perf_counter()
            allowed += sum(mirror.check(customer, feature) for customer, feature in asked)
            seconds += time.perf_counter() - started
            await asyncio.sleep(0)  # the watch goes on as it does in a real process
        entries = len(mirror)
    await admin.close()
    per_second = round(allowed / seconds)
    return {
        "benchmark": "entitlement_local",
        "checks_per_second": per_second,
        "wanted_per_second": WANTED_PER_SECOND,
        "ratio": round(per_second / _floor_per_second(asked), 3),
        "entries": entries,
    }


def _floor_per_second(asked: list[tuple[Customer, str]]) -> float:
    known = dict.fromkeys(((customer.token, feature) for customer, feature in asked), True)
    keys = list(known)
    started = time.perf_counter()
    rounds = CHECKS // len(keys)
    for _ in range(rounds):
        sum(known[key] for key in keys)
    return rounds * len(keys) / (time.perf_counter() - started)
