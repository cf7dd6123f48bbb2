"""Fixtures of most use cases; a module that needs another world opens its own shop."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from services.consumables.app import service as consumables
from services.monitoring.app import service as monitoring
from services.monitoring.settings import MonitoringSettings, load_tiers
from services.subscriptions.app import service
from services.subscriptions.checkout.start_checkout import Trials
from services.subscriptions.domain.benefits import BenefitSigner
from services.subscriptions.domain.tax_settings import TaxSettings
from services.subscriptions.dunning.grace import Dunning
from services.subscriptions.stripe.client import StripeGateway
from shared.messaging.service_client import ServiceClient
from shared.settings import CommonSettings
from tallystick.messages import catalog
from tests.support.answering import answering
from tests.support.catalogs import team_catalog
from tests.support.runtime import Bound
from tests.support.servers import NatsServer
from tests.support.stripe import SECRET_KEY, StripeStandIn
from tests.support.worlds.balances import UnitsWorld
from tests.support.worlds.monitoring import MonitoringWorld
from tests.support.worlds.plan_changes import CREW_CATALOG, Crew
from tests.support.worlds.recharges import RechargeWorld, recharge_world
from tests.support.worlds.subscriptions import OpenShop, World


@pytest.fixture
async def open_shop(bind: Callable[..., Bound], stand_in: StripeStandIn) -> AsyncIterator[OpenShop]:
    """Opens shops on this test's database: `open_shop(document, key=None, dunning=…)`.

    With the catalog of the tests unless another document is given; with a Stripe unless `key` is None.
    """
    gateways: list[StripeGateway] = []

    async def open_shop(
        document: dict[str, Any] | None = None,
        *,
        key: str | None = SECRET_KEY,
        trials: Trials | None = None,
        dunning: Dunning | None = None,
        benefits: BenefitSigner | None = None,
        tax: TaxSettings | None = None,
    ) -> World:
        gateways.append(StripeGateway(key, stand_in.url, tax=tax or TaxSettings()))
        bound = bind(
            service,
            gateways[-1],
            trials or Trials(None),
            dunning or Dunning(),
            benefits or BenefitSigner(None),
        )
        shop = World(bound, stand_in, gateways[-1])
        wanted = team_catalog() if document is None else document
        await shop.does(catalog.ApplyCatalog(command_id=shop.command_id(), catalog=wanted))
        return shop

    yield open_shop
    for gateway in gateways:
        await gateway.close()


@pytest.fixture
async def shop(open_shop: OpenShop) -> World:
    """The subscriptions service with a catalog and no customer."""
    return await open_shop()


@pytest.fixture
async def world(shop: World) -> World:
    """The same with one customer."""
    await shop.register()
    return shop


@pytest.fixture
async def crew(open_shop: OpenShop) -> Crew:
    """A customer on a test clock who is about to buy a plan for several people."""
    return Crew(await open_shop(CREW_CATALOG))


@pytest.fixture
async def units(bind: Callable[..., Bound]) -> UnitsWorld:
    """The consumables service with a team, its members and nothing granted."""
    world = UnitsWorld(bind(consumables))
    await world.set_up()
    return world


@pytest.fixture
async def recharging(
    bind: Callable[..., Bound], shop: World, nats_session: NatsServer
) -> AsyncIterator[RechargeWorld]:
    """The consumables service with a shop that charges for it."""
    async with recharge_world(bind, shop, nats_session) as world:
        yield world


@pytest.fixture
async def monitored(bind: Callable[..., Bound], nats_session: NatsServer) -> AsyncIterator[MonitoringWorld]:
    """The monitoring service with nothing to monitor yet; nobody answers what it asks."""
    client = ServiceClient(CommonSettings(nats_url=nats_session.users["monitoring"]), "monitoring")
    fields = MonitoringSettings.model_fields
    tiers = load_tiers(fields["capacity_file"].default)
    yield MonitoringWorld(bind(monitoring, client, tiers))
    await client.close()


@pytest.fixture
async def metered(
    monitored: MonitoringWorld, units: UnitsWorld, nats_session: NatsServer
) -> AsyncIterator[MonitoringWorld]:
    """The same with the consumables service answering."""
    async with answering(units.bound.runtime, nats_session):
        yield monitored
