"""Fixtures for tests of the plumbing: the toy service on an empty database."""

from collections.abc import AsyncIterator

import pytest

from tests.plumbing import toy
from tests.support.runtime import Bound


@pytest.fixture
def outside() -> toy.Outside:
    """Somebody outside."""
    return toy.Outside()


@pytest.fixture
async def counters(database_url: str, outside: toy.Outside) -> AsyncIterator[Bound]:
    """The toy service, bound to a database of its own."""
    toy.create(database_url)
    bound = Bound(toy.service, database_url, [outside], url=database_url)
    yield bound
    await bound.close()
