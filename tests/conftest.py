"""Fixtures every test may use. Servers start only for the tests that ask for them."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from shared.service import Service
from tests.support import servers
from tests.support.runtime import Bound, make_template


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


@pytest.fixture
def service_database(postgres: servers.PostgresServer, service_template: str) -> Iterator[str]:
    """The owner's URL of a database with every service's schema and nothing in it."""
    url = postgres.create_database(service_template)
    try:
        yield url
    finally:
        postgres.drop_database(url)


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
