"""Any order of sales, refunds, disputes and payouts agrees with a plain model, to the minor unit.

`SELLER_EXAMPLES=500` runs more examples than a test run does.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import psycopg
import pytest
from hypothesis.stateful import run_state_machine_as_test
from nats.aio.client import Client
from psycopg.rows import dict_row

from services.payouts.accounts.connect import SellerDefaults
from services.payouts.app import service
from services.payouts.invariants import INVARIANTS
from services.payouts.stripe.client import StripeConnect
from shared.operations.audit import LiveSystem, VersionsHaveNoGaps
from tallystick.subjects import Subjects
from tests.support.runtime import Bound
from tests.support.state_machines.sellers import Sellers
from tests.support.state_machines.settings import looking
from tests.support.stripe import SECRET_KEY, StripeStandIn
from tests.support.worlds.sellers import PAGE, SellerWorld

pytestmark = pytest.mark.timeout(3600)


@asynccontextmanager
async def opened(database: str, stand_in: StripeStandIn) -> AsyncIterator[SellerWorld]:
    """The service with Stripe."""
    connect = StripeConnect(SECRET_KEY, stand_in.url)
    world = SellerWorld(Bound(service, database, [connect, SellerDefaults(7, PAGE)]), stand_in, connect)
    yield world
    await world.bound.close()
    await connect.close()


async def audited(database: str) -> list[str]:
    """Return the violations that the audit finds."""
    connection = await psycopg.AsyncConnection.connect(database, autocommit=True, row_factory=dict_row)
    live = LiveSystem(connection, Client(), Subjects())
    checked: list[Any] = [*INVARIANTS, VersionsHaveNoGaps("payouts")]
    found = [wrong for one in checked for wrong in await one.violations(live)]
    await connection.close()
    return found


def test_any_order_agrees_with_the_model(service_database: str, stand_in: StripeStandIn) -> None:
    chosen = looking("SELLER_EXAMPLES", 6, steps=25)
    with asyncio.Runner() as runner:
        entered = opened(service_database, stand_in)
        world = runner.run(entered.__aenter__())
        try:
            machine: Any = partial(Sellers, runner.run, world)
            run_state_machine_as_test(machine, settings=chosen)
            assert runner.run(audited(service_database)) == []
        finally:
            runner.run(entered.__aexit__(None, None, None))
