"""Any order of commands, Stripe events and ticks ends in Stripe's state and at the right amounts.

Events arrive in any order, twice, or only with the reconciliation; time passes on a test clock; cards
start and stop working. `LIFECYCLE_EXAMPLES=500` runs more examples than a test run does.
"""

import asyncio
from functools import partial
from typing import Any

import httpx
import pytest
from hypothesis.stateful import run_state_machine_as_test

from services.subscriptions.app import service
from services.subscriptions.checkout.start_checkout import Trials
from services.subscriptions.dunning.grace import Dunning
from services.subscriptions.stripe.client import StripeGateway
from tallystick.messages.catalog import ApplyCatalog
from tests.support.runtime import Bound
from tests.support.state_machines.lifecycle_rules import CATALOG, Feed
from tests.support.state_machines.settings import looking
from tests.support.state_machines.subscription_lifecycle import Lifecycle
from tests.support.stripe import SECRET_KEY, StripeStandIn
from tests.support.worlds.subscriptions import World

pytestmark = [
    # Raised by how the Stripe SDK calls httpx.
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
    pytest.mark.timeout(3600),
]


def test_any_order_ends_where_stripe_says(service_database: str, stand_in: StripeStandIn) -> None:
    with asyncio.Runner() as runner:
        world, gateway = runner.run(_open(service_database, stand_in))
        chosen = looking("LIFECYCLE_EXAMPLES", 14, shrinks=False)
        try:
            # What is asked after every step is asked without the SDK, which takes its time.
            with httpx.Client(base_url=stand_in.url, auth=(SECRET_KEY, "")) as browser:
                machine: Any = partial(Lifecycle, runner.run, world, Feed(world), browser)
                run_state_machine_as_test(machine, settings=chosen)
        finally:
            runner.run(_close(world, gateway))


async def _open(database: str, stand_in: StripeStandIn) -> tuple[World, StripeGateway]:
    gateway = StripeGateway(SECRET_KEY, stand_in.url)
    bound = Bound(service, database, [gateway, Trials(None), Dunning()])
    world = World(bound, stand_in, gateway)
    await world.does(ApplyCatalog(command_id=world.command_id(), catalog=CATALOG))
    return world, gateway


async def _close(world: World, gateway: StripeGateway) -> None:
    await gateway.close()
    await world.bound.close()
