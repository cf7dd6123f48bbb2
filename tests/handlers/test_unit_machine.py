"""Any order of granting, using, reserving, refunding, revoking and waiting agrees with a plain model.

`UNIT_EXAMPLES=500` looks further than a test run does.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import psycopg
import pytest
from hypothesis.stateful import run_state_machine_as_test
from psycopg.rows import dict_row

from services.consumables.app import service
from services.consumables.invariants import INVARIANTS, Agreeing
from shared.operations.audit import LiveSystem, VersionsHaveNoGaps
from tallystick.subjects import Subjects
from tests.handlers.unit_machine import Units
from tests.handlers.units_world import UnitsWorld
from tests.support.machines import looking
from tests.support.runtime import Bound

pytestmark = pytest.mark.timeout(3600)


@asynccontextmanager
async def opened(database: str) -> AsyncIterator[UnitsWorld]:
    """The service with its features."""
    world = UnitsWorld(Bound(service, database))
    await world.set_up()
    yield world
    await world.bound.close()


async def audited(database: str) -> list[str]:
    """What the audit finds in the tables."""
    connection = await psycopg.AsyncConnection.connect(database, autocommit=True, row_factory=dict_row)
    nobody: Any = None
    live = LiveSystem(connection, nobody, Subjects())
    checked = [one for one in INVARIANTS if isinstance(one, Agreeing)]
    assert checked
    found = [wrong for one in checked for wrong in await one.violations(live)]
    found += await VersionsHaveNoGaps("consumables").violations(live)
    await connection.close()
    return found


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
