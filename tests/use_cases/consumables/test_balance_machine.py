"""Any order of operations on balances agrees with a simple model.

`UNIT_EXAMPLES=500` runs more examples than a test run does.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from hypothesis.stateful import run_state_machine_as_test

from services.consumables.app import service
from tests.support.runtime import Bound
from tests.support.state_machines.audit import audited
from tests.support.state_machines.balance import Units
from tests.support.state_machines.settings import looking
from tests.support.worlds.balances import UnitsWorld

pytestmark = pytest.mark.timeout(3600)


@asynccontextmanager
async def opened(database: str) -> AsyncIterator[UnitsWorld]:
    """The service with its features."""
    world = UnitsWorld(Bound(service, database))
    await world.set_up()
    yield world
    await world.bound.close()


def test_any_order_agrees_with_the_model(service_database: str) -> None:
    chosen = looking("UNIT_EXAMPLES", 15)
    with asyncio.Runner() as runner:
        entered = opened(service_database)
        world = runner.run(entered.__aenter__())
        try:
            machine: Any = partial(Units, runner.run, world)
            run_state_machine_as_test(machine, settings=chosen)
            assert runner.run(audited(service_database)) == []
        finally:
            runner.run(entered.__aexit__(None, None, None))
