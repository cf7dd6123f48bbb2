"""The invariants of the service on correct and on corrupted data."""

from collections.abc import AsyncIterator

import psycopg
import pytest
from nats.aio.client import Client
from psycopg.rows import dict_row

from services.licenses import invariants
from shared.operations import audit_helpers
from shared.operations.audit import LiveSystem
from tallystick.messages import licenses as m
from tallystick.subjects import Subjects
from tests.support.worlds.licenses import LicenseWorld


@pytest.fixture
async def live(world: LicenseWorld, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LiveSystem]:
    """An activated license, one that was revoked, and one of a subscription."""
    # What is wrong in these tests stays wrong: one second look is enough.
    monkeypatch.setattr(audit_helpers, "PENDING_MAX_SECONDS", audit_helpers.RETRY_SECONDS)
    _, key = await world.issued()
    await world.does(world.activate(key))
    other, _ = await world.issued()
    await world.does(m.RevokeLicense(command_id="revoke", license_id=other["license_id"]))
    license_id = (await world.subscribed())["license_id"]
    await world.does(m.ShowLicenseKey(command_id="show", license_id=license_id))
    database = await psycopg.AsyncConnection.connect(
        world.bound.owner_url, autocommit=True, row_factory=dict_row
    )
    yield LiveSystem(database, Client(), Subjects())
    await database.close()


async def broken(live: LiveSystem) -> set[str]:
    """Return the names of the violated invariants."""
    found = set()
    for invariant in invariants.INVARIANTS:
        if await invariant.violations(live):
            found.add(invariant.name)
    return found


async def test_all_is_well_with_what_the_service_does(live: LiveSystem) -> None:
    assert await broken(live) == set()


DAMAGE = {
    "UPDATE licenses.inbox SET outcome = replace(outcome::text, 'withheld', 'AAAA')::json": {
        "no license key is kept in clear"
    },
    """UPDATE licenses.inbox SET body = '{"license_key": "x"}'""": {"no license key is kept in clear"},
    "UPDATE licenses.outbox SET payload = convert_to('{\"x\": \"tsl-0123abcd-\"}', 'UTF8')": {
        "no license key is kept in clear"
    },
    "UPDATE licenses.licenses SET version = version + 1": {"rows are at the version that was told last"},
    "UPDATE licenses.activations SET grace_until = refreshed_at - interval '1 day'": {
        "files last as long as their license allows"
    },
}


@pytest.mark.parametrize("damage", DAMAGE)
async def test_damage_is_found(live: LiveSystem, damage: str) -> None:
    await live.database.execute(damage.encode())
    assert await broken(live) == DAMAGE[damage]
