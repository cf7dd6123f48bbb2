"""Bulk renewal of many seats gives the same result as renewing one after the other."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, get_args

import psycopg
import pytest

from services.consumables.app import service
from services.consumables.domain.grant_cycles import boundary
from services.consumables.grants import bulk_renewal, renewal
from services.consumables.grants.bulk_renewal_sql import BOUNDARY
from tallystick.messages.base import Customer
from tallystick.messages.catalog import Interval
from tallystick.messages.consumables import ConsumableEvent
from tests.support.due_seat_grants import make_seats
from tests.support.runtime import Bound
from tests.support.servers import PostgresServer
from tests.support.worlds.grants import Grants, day, gives, item

ANCHORS = [
    datetime(2024, 1, 31, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(2024, 2, 29, 12, tzinfo=UTC),
    datetime(2025, 3, 30, 1, 30, tzinfo=UTC),
    datetime(2025, 10, 26, 1, 30, tzinfo=UTC),
]


def test_cycles_begin_when_the_domain_says(postgres: PostgresServer) -> None:
    expression = BOUNDARY.format(number="number")
    query = f"""
        SELECT anchor, every, number, {expression}
        FROM unnest(%s::timestamptz[]) AS anchor, unnest(%s::text[]) AS every,
             generate_series(0, 40) AS number
    """
    with psycopg.connect(postgres.url) as connection:
        # A time zone with daylight saving, so that a time zone error would show.
        connection.execute("SET TimeZone = 'Europe/Berlin'")
        rows = connection.execute(query, (ANCHORS, list(get_args(Interval)))).fetchall()
    assert len(rows) == 4 * 4 * 41
    for anchor, every, number, begins in rows:
        expected = boundary(anchor.astimezone(UTC), every, number)
        assert begins.astimezone(UTC) == expected, (anchor, every, number)


async def test_many_seats_are_renewed_in_batches(
    bind: Callable[..., Bound], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_renewal, "RENEWED_AT_ONCE", 300)
    world = Grants(bind(service))
    make_seats(world.bound.owner_url, "a", 2_000, day("2026-01-31"))
    await world.renews("2026-02-28")
    await world.renews("2026-02-28")
    rows = await world.bound.rows("""
        SELECT granted, consumed, expired, remaining, version, count(*) FROM consumables.balances
        GROUP BY granted, consumed, expired, remaining, version
    """)
    assert [tuple(row.values()) for row in rows] == [(20, 7, 3, 10, 4, 2_000)]
    rows = await world.bound.rows("""
        SELECT remaining, expires_at, count(*) FROM consumables.grants WHERE open
        GROUP BY remaining, expires_at
    """)
    assert [tuple(row.values()) for row in rows] == [(10, day("2026-03-31"), 2_000)]
    rows = await world.bound.rows(
        "SELECT kind, sum(quantity), count(*) FROM consumables.entries GROUP BY kind ORDER BY kind"
    )
    assert [tuple(row.values()) for row in rows] == [("expired", 6_000, 2_000), ("granted", 20_000, 2_000)]
    names = await world.names()
    assert (names.count("expiredV1"), names.count("grantedV1")) == (2_000, 2_000)
    assert (await world.bucket())["seat_seat_a7.hours"] == {"remaining": 10, "version": 4}


async def test_renewed_at_once_or_one_by_one_is_told_alike(
    bind: Callable[..., Bound], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = Grants(bind(service))
    period: dict[str, Any] = {
        "current_period_start": datetime(2026, 1, 31, 8, 30, 0, 250_000, tzinfo=UTC),
        "current_period_end": datetime(2027, 1, 31, 8, 30, 0, 250_000, tzinfo=UTC),
    }
    customers = [Customer(type="organization", id="alone"), Customer(type="user", id="together-with-others")]
    told: list[list[str]] = []
    for number, customer in enumerate(customers):
        world.at("2026-01-31T09:00")
        plan = item(gives(quantity=80, rollover=50))
        period |= {"subscription_id": f"sub_{number}", "customer": customer}
        await world.hears(world.subscription_event(plan, **period))
        before = len(await world.told())
        with monkeypatch.context() as patched:
            if number == 0:
                patched.setattr(renewal, "renew_in_bulk", nothing)
            for moment in ("2026-03-01", "2026-04-01", "2026-05-01"):
                await world.renews(moment)
        told.append([without_names(event, customer) for _, event in (await world.told())[before:]])
    assert told[0] == told[1]
    # February: 50 of 80 left are carried; then 50 of 130, twice.
    assert len(told[0]) == 6


async def nothing(*_: object, **__: object) -> None:
    """Stand in for the bulk renewal and renew nothing, so that each allotment is renewed on its own."""


def without_names(event: ConsumableEvent, customer: Customer) -> str:
    """Return an event without ids and customers."""
    text = re.sub(r"(grant|entry|evt|sub)_[0-9a-z]+", r"\1", event.model_dump_json())
    return text.replace(f'"type":"{customer.type}"', "").replace(customer.type, "").replace(customer.id, "")
