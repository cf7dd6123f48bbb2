"""Fixtures every test may use. Servers start only for the tests that ask for them."""

from collections.abc import Iterator

import pytest

from tests.support import servers


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
