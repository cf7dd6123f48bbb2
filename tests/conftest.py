"""Fixtures for all tests; servers start only for the tests that request them."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest

import tallystick
from shared.messaging.service import Service
from shared.observability.logging_setup import set_up_logs
from tallystick.messages.catalog import ApplyCatalog, GetCatalog
from tests.support import servers
from tests.support.catalogs import example_catalog
from tests.support.databases import KeptDatabases
from tests.support.gateway import GatewaySystem, gateway_before
from tests.support.runtime import Bound, make_template
from tests.support.shop import Shop, fresh_id
from tests.support.stack import System, whole_system
from tests.support.stripe import StripeStandIn, stripe_stand_in

# No test speaks TLS; reading the world's certificates takes every HTTP client a twentieth of a second.
os.environ.pop("SSL_CERT_FILE", None)
os.environ["SSL_CERT_DIR"] = os.devnull


# A worker in the test's own process logs as it would on a terminal. Without this structlog would show every
# local variable of a traceback, and take minutes over a message of a megabyte.
set_up_logs("tests", style="console", level="info")

TAKING_LONG = ("tests/sandbox/test_up.py", "tests/fuzz/", "tests/faults/")
"""First, so that no process waits for one of them alone at the end."""
SHARING_THE_SYSTEM = ("tests/flows/", "tests/gateway/")
"""Last: once they have started it, the whole system takes some of the processors."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests into the order in which the whole run is shortest."""
    items.sort(
        key=lambda item: item.nodeid.startswith(SHARING_THE_SYSTEM) - item.nodeid.startswith(TAKING_LONG)
    )


@pytest.fixture(scope="session")
def postgres() -> Iterator[servers.PostgresServer]:
    """The session's Postgres."""
    with servers.postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def nats_session() -> Iterator[servers.NatsServer]:
    """The session's NATS, with whatever streams the last test left. Most tests want `nats_server`."""
    with servers.nats_server() as server:
        yield server


@pytest.fixture
def database_url(postgres: servers.PostgresServer) -> Iterator[str]:
    """The owner's URL of an empty database, gone after the test."""
    url = postgres.create_database()
    try:
        yield url
    finally:
        postgres.drop_database(url)


@pytest.fixture
async def nats_server(nats_session: servers.NatsServer) -> servers.NatsServer:
    """A NATS without a single stream."""
    await nats_session.reset()
    return nats_session


@pytest.fixture(scope="session")
def service_template(postgres: servers.PostgresServer) -> str:
    """A database with every service's schema; copied, never used itself."""
    return make_template(postgres)


@pytest.fixture(scope="session")
def kept_databases(postgres: servers.PostgresServer, service_template: str) -> KeptDatabases:
    """Copies of that, made empty again after each test."""
    return KeptDatabases(postgres, service_template)


@pytest.fixture
def service_database(kept_databases: KeptDatabases) -> Iterator[str]:
    """The owner's URL of a database with every service's schema and nothing in it."""
    with kept_databases.one() as url:
        yield url


@pytest.fixture
async def bind(service_database: str) -> AsyncIterator[Callable[..., Bound]]:
    """Binds services to this test's database: `bind(service, provided…)`."""
    bound: list[Bound] = []

    def bind_service(service: Service, *provided: Any) -> Bound:
        bound.append(Bound(service, service_database, provided))
        return bound[-1]

    yield bind_service
    for one in bound:
        await one.close()


@pytest.fixture(scope="session")
def stripe_session() -> Iterator[StripeStandIn]:
    """The session's Stripe, with whatever the last test left there. Tests want `stand_in`."""
    with stripe_stand_in() as running:
        yield running


@pytest.fixture
def stand_in(stripe_session: StripeStandIn) -> StripeStandIn:
    """An empty Stripe."""
    stripe_session.forget_everything()
    return stripe_session


@pytest.fixture(scope="session")
def system() -> Iterator[System]:
    """Everything as processes, Stripe's webhooks on their way to the ingress, the example catalog applied.

    One for all tests that tell a story of a customer of their own: it takes long to start.
    """
    with whole_system() as running:
        asyncio.run(_apply_example(running.stack.nats.users["client"]))
        yield running


@pytest.fixture(scope="session")
def gateway(system: System) -> Iterator[GatewaySystem]:
    """The same with the gateway in front."""
    with gateway_before(system) as running:
        yield running


@pytest.fixture
async def shop(system: System) -> AsyncIterator[Shop]:
    """A customer of its own for each test, with the client, a browser and Stripe."""
    async with (
        tallystick.connect(system.stack.nats.users["client"]) as billing,
        httpx.AsyncClient(timeout=20) as browser,
    ):
        opened = Shop(system, billing, browser)
        await _sell_the_example(billing)
        yield opened
        await opened.deliveries(drop=0, duplicate=0, shuffle=False, paused=False)


async def _apply_example(url: str) -> None:
    async with tallystick.connect(url) as billing:
        await _sell_the_example(billing)


async def _sell_the_example(billing: tallystick.Client) -> None:
    """Apply the example catalog again wherever a test has left another one."""
    example = example_catalog()
    sold = (await billing.ask(GetCatalog())).catalog
    if {one.code for one in sold.products} != {one["code"] for one in example["products"]}:
        await billing.call(ApplyCatalog(command_id=fresh_id("apply"), catalog=example))
