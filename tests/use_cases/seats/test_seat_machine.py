"""Any order of seat operations agrees with a simple model.

`SEAT_EXAMPLES=500` runs more examples than a test run does.
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

from services.seats.app import service
from services.seats.invariants import INVARIANTS, MembershipsEqualClaimedSeats
from services.seats.invitations.tokens import Invitations
from shared.messaging.nats_connection import connect
from shared.messaging.service_client import ServiceClient
from shared.operations.audit import LiveSystem, VersionsHaveNoGaps
from shared.settings import CommonSettings
from tallystick.subjects import Subjects
from tests.support.runtime import Bound
from tests.support.servers import NatsServer
from tests.support.state_machines.seat_model import Subscriptions
from tests.support.state_machines.seats import Seats
from tests.support.state_machines.settings import looking
from tests.support.worlds.seats import SECRET, SeatWorld

pytestmark = pytest.mark.timeout(3600)


@asynccontextmanager
async def opened(database: str, nats: NatsServer) -> AsyncIterator[Subscriptions]:
    """The service with a stub of subscriptions."""
    asking = ServiceClient(CommonSettings(nats_url=nats.users["seats"]), "seats")
    world = SeatWorld(Bound(service, database, [Invitations.of(SECRET), asking]))
    # The administrator, who may answer as well as be asked, in the place of the service.
    connection = await connect(nats.url, "subscriptions")
    subscriptions = Subscriptions(world, connection)
    await subscriptions.listen()
    yield subscriptions
    await connection.close()
    await asking.close()
    await world.bound.close()


async def audited(database: str, nats: NatsServer) -> list[str]:
    """Return the violations that the audit finds, without those about the copy in subscriptions."""
    connection = await psycopg.AsyncConnection.connect(database, autocommit=True, row_factory=dict_row)
    client = await connect(nats.url, "audit")
    live = LiveSystem(connection, client, Subjects())
    checked = [one for one in INVARIANTS if not isinstance(one, MembershipsEqualClaimedSeats)]
    found = [wrong for one in [*checked, VersionsHaveNoGaps("seats")] for wrong in await one.violations(live)]
    await client.close()
    await connection.close()
    return found


def test_any_order_agrees_with_the_model(service_database: str, nats_session: NatsServer) -> None:
    chosen = looking("SEAT_EXAMPLES", 20, steps=30)
    with asyncio.Runner() as runner:
        entered = opened(service_database, nats_session)
        subscriptions = runner.run(entered.__aenter__())
        try:
            machine: Any = partial(Seats, runner.run, subscriptions.world, subscriptions)
            run_state_machine_as_test(machine, settings=chosen)
            assert runner.run(audited(service_database, nats_session)) == []
        finally:
            runner.run(entered.__aexit__(None, None, None))
