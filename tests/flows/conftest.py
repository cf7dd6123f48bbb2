"""The whole system for the stories told here, started once: servers, workers and the Stripe stand-in."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

import tallystick
from tallystick.messages.catalog import ApplyCatalog
from tests.flows.shop import Shop, fresh_id
from tests.support.catalogs import example_catalog
from tests.support.stack import System, whole_system


@pytest.fixture(scope="package")
def system() -> Iterator[System]:
    """Everything as processes, Stripe's webhooks on their way to the ingress, the example catalog applied."""
    with whole_system() as running:
        asyncio.run(_apply_example(running.stack.nats.users["client"]))
        yield running


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
