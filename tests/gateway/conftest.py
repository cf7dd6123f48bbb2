"""One system with the gateway in front for all tests here, and a customer of its own for each."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

import tallystick
from tallystick.messages.catalog import ApplyCatalog
from tests.flows.shop import Shop, fresh_id
from tests.support.catalogs import example_catalog
from tests.support.gateway import GatewaySystem, gateway_system


@pytest.fixture(scope="package")
def gateway() -> Iterator[GatewaySystem]:
    """Everything as processes, the example catalog applied."""
    with gateway_system() as running:
        asyncio.run(_apply_example(running.system.stack.nats.users["client"]))
        yield running


@pytest.fixture
async def shop(gateway: GatewaySystem) -> AsyncIterator[Shop]:
    """A customer of its own for each test, and everything that the world outside can do."""
    async with (
        tallystick.connect(gateway.system.stack.nats.users["client"]) as billing,
        httpx.AsyncClient(timeout=20) as browser,
    ):
        yield Shop(gateway.system, billing, browser)


async def _apply_example(url: str) -> None:
    async with tallystick.connect(url) as billing:
        await billing.call(ApplyCatalog(command_id=fresh_id("apply"), catalog=example_catalog()))
