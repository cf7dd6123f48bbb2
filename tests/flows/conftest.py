"""The whole system for the stories told here, started once: servers, workers and the Stripe stand-in."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import httpx
import pytest

import tallystick
from sandbox.ports import HOST, free_port
from tallystick.messages.catalog import ApplyCatalog
from tests.flows.shop import Shop, System, fresh_id
from tests.support.catalogs import example_catalog
from tests.support.stack import STRIPE_KEY, WEBHOOK_SECRET, stack


@pytest.fixture(scope="package")
def system() -> Iterator[System]:
    """Everything as processes, Stripe's webhooks on their way to the ingress, the example catalog applied."""
    with stack() as running, ExitStack() as processes:
        webhooks_port = free_port()
        ingress = f"http://{HOST}:{webhooks_port}/api/v1/webhooks/stripe"
        stripe_url = processes.enter_context(running.stripe(ingress))
        settings = {
            "STRIPE_SECRET_KEY": STRIPE_KEY,
            "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "STRIPE_API_BASE": stripe_url,
        }
        processes.enter_context(running.worker("webhooks", settings, port=webhooks_port))
        processes.enter_context(running.worker("subscriptions", settings))
        asyncio.run(_apply_example(running.nats.users["client"]))
        yield System(running, stripe_url, ingress)


@pytest.fixture
async def shop(system: System) -> AsyncIterator[Shop]:
    """A customer of its own for each test, and everything that the world outside can do."""
    async with (
        tallystick.connect(system.stack.nats.users["client"]) as billing,
        httpx.AsyncClient(timeout=20) as browser,
    ):
        opened = Shop(system, billing, browser)
        yield opened
        await opened.deliveries(drop=0, duplicate=0, shuffle=False, paused=False)


async def _apply_example(url: str) -> None:
    async with tallystick.connect(url) as billing:
        await billing.call(ApplyCatalog(command_id=fresh_id("apply"), catalog=example_catalog()))
