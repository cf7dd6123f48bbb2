"""Any order of plans, overrides, grants and use agrees with a simple model of a ceiling.

`UNIT_EXAMPLES=500` runs more examples than a test run does.
"""

import asyncio
from functools import partial
from typing import Any

import pytest
from hypothesis.stateful import run_state_machine_as_test

from services.consumables.app import service
from tests.support.runtime import Bound
from tests.support.state_machines.audit import audited
from tests.support.state_machines.limit_ceiling import CeilingMachine
from tests.support.state_machines.settings import looking
from tests.support.worlds.grants import Grants

pytestmark = pytest.mark.timeout(3600)


async def opened(database: str) -> Grants:
    """The service with its feature."""
    world = Grants(Bound(service, database))
    await world.feature("places", "limit")
    return world


def test_any_order_agrees_with_the_model(service_database: str) -> None:
    chosen = looking("UNIT_EXAMPLES", 15)
    with asyncio.Runner() as runner:
        world = runner.run(opened(service_database))
        try:
            machine: Any = partial(CeilingMachine, runner.run, world)
            run_state_machine_as_test(machine, settings=chosen)
            assert runner.run(audited(service_database)) == []
        finally:
            runner.run(world.bound.close())
