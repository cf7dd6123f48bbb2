"""The overhead of the gateway: its routes compared with a bare FastAPI route with one NATS round trip.

The floor asks the bare echo, validates nothing, checks nobody, and returns what it got.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from statistics import median
from typing import Any

import httpx

import tallystick
from sandbox.managed_process import Program
from sandbox.ports import HOST, free_port
from shared.persistence.migrations import ROOT
from tallystick.messages import consumables
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer
from tallystick.messages.catalog import ApplyCatalog
from tests.benchmarks.floors import echoing
from tests.support.catalogs import example_catalog
from tests.support.gateway import bearer, gateway_settings
from tests.support.stack import Stack, stack
from tests.support.waiting import eventually

CONNECTIONS = 16
"""Requests under way at a time."""
ROUNDS = 3
ROUND_SECONDS = 3.0
WARM_UP_SECONDS = 1.0
RATIO_WANTED = 0.5
GRANTED = 1_000_000_000
ACME = Customer(type="organization", id="acme")
FEATURE = "mentorship_hours"

Request = Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]


def run() -> dict[str, Any]:
    """Start what is needed, then request by turns."""
    with stack() as running, ExitStack() as workers:
        for name in ("subscriptions", "seats", "consumables"):
            workers.enter_context(running.worker(name, {"INVITATION_SECRET": "x" * 32}))
        port = workers.enter_context(running.worker("gateway", gateway_settings()))
        bare_port = free_port()
        command = [sys.executable, "-m", "tests.benchmarks.bare_route", str(bare_port)]
        command.append(running.nats.users["gateway"])
        workers.enter_context(
            running.process(Program("bare", command, {"PYTHONPATH": str(ROOT)}, directory=ROOT))
        )
        return asyncio.run(_measure(running, f"http://{HOST}:{port}", f"http://{HOST}:{bare_port}"))


async def _measure(running: Stack, gateway: str, bare: str) -> dict[str, Any]:
    await _prepare(running)
    headers = bearer(ACME)
    wish = {"feature": FEATURE, "quantity": 1}
    requests: dict[str, Request] = {
        "bare": lambda client: client.get(f"{bare}/"),
        "subscription": lambda client: client.get(f"{gateway}/api/v1/billing/subscription", headers=headers),
        "consume": lambda client: client.post(
            f"{gateway}/api/v1/billing/consume", headers=headers, json=wish
        ),
    }
    async with echoing(running.nats.users["subscriptions"]), _clients() as clients:
        rates: dict[str, list[float]] = {name: [] for name in requests}
        for request in requests.values():
            await eventually(partial(_works, clients[0], request))
            await _rate(clients, request, WARM_UP_SECONDS)
        for _ in range(ROUNDS):
            for name, request in requests.items():
                rates[name].append(await _rate(clients, request, ROUND_SECONDS))
    found = {name: median(seen) for name, seen in rates.items()}
    ratios = {name: round(found[name] / found["bare"], 3) for name in ("subscription", "consume")}
    return {
        "benchmark": "gateway",
        "ratio": min(ratios.values()),
        "wanted": RATIO_WANTED,
        "subscription_ratio": ratios["subscription"],
        "consume_ratio": ratios["consume"],
        **{f"{name}_per_second": round(rate) for name, rate in found.items()},
        "connections": CONNECTIONS,
    }


async def _prepare(running: Stack) -> None:
    """A customer with a plan and more units than are used."""
    async with tallystick.connect(running.nats.users["client"]) as billing:
        await billing.call(ApplyCatalog(command_id="catalog", catalog=example_catalog()))
        await billing.call(m.RegisterCustomer(command_id="customer", customer=ACME, email="pay@acme.example"))
        item = m.ItemToBuy(price="essential_monthly")
        wish = m.CreateSubscription(command_id="plan", customer=ACME, items=[item], collection="none")
        await billing.call(wish)
        grant = consumables.Grant(
            command_id="grant",
            account=f"customer:{ACME.token}",
            feature=FEATURE,
            quantity=GRANTED,
            reason="a lot",
        )
        await eventually(lambda: _succeeds(billing, grant))


async def _succeeds(billing: tallystick.Client, grant: consumables.Grant) -> bool:
    fresh = grant.model_copy(update={"command_id": f"grant-{time.monotonic_ns()}"})
    return (await billing.outcome(fresh)).status == "succeeded"


async def _works(client: httpx.AsyncClient, request: Request) -> bool:
    try:
        answer = await request(client)
    except httpx.TransportError:
        return False
    return answer.status_code == 200


@asynccontextmanager
async def _clients() -> AsyncIterator[list[httpx.AsyncClient]]:
    clients = [httpx.AsyncClient(timeout=30) for _ in range(CONNECTIONS)]
    try:
        yield clients
    finally:
        await asyncio.gather(*(client.aclose() for client in clients))


async def _rate(clients: list[httpx.AsyncClient], request: Request, seconds: float) -> float:
    """Successful answers a second."""
    answered, until = 0, time.perf_counter() + seconds

    async def ask(client: httpx.AsyncClient) -> None:
        nonlocal answered
        while time.perf_counter() < until:
            answer = await request(client)
            if answer.status_code != 200:
                raise AssertionError(answer.text)
            answered += 1

    started = time.perf_counter()
    await asyncio.gather(*(ask(client) for client in clients))
    return answered / (time.perf_counter() - started)
