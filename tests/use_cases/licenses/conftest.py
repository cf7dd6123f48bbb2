"""The licenses service on this test's database."""

from collections.abc import Callable

import pytest

from services.licenses.app import service
from tests.support.runtime import Bound
from tests.support.worlds.licenses import LicenseWorld, provided


@pytest.fixture
async def world(bind: Callable[..., Bound]) -> LicenseWorld:
    """The service, which knows the product `server`."""
    world = LicenseWorld(bind(service, *provided()))
    await world.hears_product()
    return world
