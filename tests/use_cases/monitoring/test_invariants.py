"""The invariants of the service on correct and on corrupted data."""

from collections.abc import AsyncIterator
from datetime import timedelta

import psycopg
import pytest
from nats.aio.client import Client
from psycopg.rows import dict_row

from services.monitoring.invariants import INVARIANTS
from shared.operations import audit_helpers
from shared.operations.audit import LiveSystem
from tallystick.subjects import Subjects
from tests.support.worlds.monitoring import BEGIN, MonitoringWorld, organization

ACME = organization("acme")


@pytest.fixture
async def live(monitored: MonitoringWorld, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LiveSystem]:
    """The database of a service that has heard of a subscription and its invoice."""
    monkeypatch.setattr(audit_helpers, "PENDING_MAX_SECONDS", audit_helpers.RETRY_SECONDS)
    await monitored.sells("yearly", unit_amount=10_000, interval="year")
    for version, status in enumerate(("trialing", "active", "canceled"), 1):
        at = BEGIN + timedelta(days=20 * version)
        await monitored.hears(monitored.subscription(ACME, version, at, status, "yearly"), "updated")  # type: ignore[arg-type]
    await monitored.hears(monitored.invoice(ACME, 1, BEGIN, "paid", attempt_count=2), "paid")
    url = monitored.bound.owner_url
    database = await psycopg.AsyncConnection.connect(url, autocommit=True, row_factory=dict_row)
    yield LiveSystem(database, Client(), Subjects())
    await database.close()


async def broken(live: LiveSystem) -> list[str]:
    """Everything that the invariants find."""
    return [found for invariant in INVARIANTS for found in await invariant.violations(live)]


async def test_all_is_well_with_what_the_service_does(live: LiveSystem) -> None:
    assert await broken(live) == []


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE monitoring.revenue_days SET numerator = numerator + 1 WHERE kind = 'new'",
        "UPDATE monitoring.revenue_days SET customers = 0 WHERE kind = 'churn'",
        "DELETE FROM monitoring.revenue_days WHERE kind = 'collected'",
        "DELETE FROM monitoring.histories WHERE entity = 'invoice'",
    ],
)
async def test_what_does_not_add_up_is_found(live: LiveSystem, damage: str) -> None:
    await live.database.execute(damage.encode())
    assert await broken(live)
