"""The world most tests of handlers begin in; a test file that needs another one makes its own."""

from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from services.subscriptions.app import service
from services.subscriptions.checkouts import Trials
from services.subscriptions.dunning import Dunning
from services.subscriptions.stripe_gateway import StripeGateway
from tests.handlers.subscription_world import World
from tests.support.runtime import Bound
from tests.support.stripe import SECRET_KEY, StripeStandIn, stripe_stand_in


@pytest.fixture
def stand_in() -> Iterator[StripeStandIn]:
    """An empty Stripe."""
    with stripe_stand_in() as running:
        yield running


@pytest.fixture
async def shop(bind: Callable[..., Bound], stand_in: StripeStandIn) -> AsyncIterator[World]:
    """The subscriptions service with a catalog and nobody who buys."""
    gateway = StripeGateway(SECRET_KEY, stand_in.url)
    shop = World(bind(service, gateway, Trials(None), Dunning()), stand_in, gateway)
    await shop.apply_catalog()
    yield shop
    await gateway.close()


@pytest.fixture
async def world(shop: World) -> World:
    """The same with one customer."""
    await shop.register()
    return shop
