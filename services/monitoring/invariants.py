"""Invariants of this service's live data, checked by `./dev audit`."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from services.monitoring.revenue.contents import read_terms
from services.monitoring.revenue.histories import customer_entries, day_rows, read_histories
from shared.operations.audit import LiveSystem
from shared.operations.audit_helpers import lasting_violations

SCHEMA = "monitoring"
SHOWN_MAX = 20
HISTORIES = """
    SELECT entity, entity_id, owner, first, last, at, content FROM {schema}.histories
    ORDER BY owner, entity_id, first
"""
DAYS = "SELECT day, currency, kind, denominator, numerator, customers FROM {schema}.revenue_days"
PRICES = "SELECT code, terms FROM {schema}.known_prices"

Day = tuple[date, str, str, int]
Sums = tuple[Decimal, int]


@dataclass(frozen=True, slots=True)
class DaysFollowFromHistories:
    """The sums of each day of revenue are those that the histories of all customers make."""

    name: str = "the days of revenue follow from the histories"

    async def violations(self, live: LiveSystem) -> Sequence[str]:
        """Return the days that differ even after events have had time to be applied."""
        return await lasting_violations(lambda: self._differences(live))

    async def _differences(self, live: LiveSystem) -> list[str]:
        wanted, found = await _days_of_histories(live), await _stored_days(live)
        nothing = (Decimal(0), 0)
        different = [
            day
            for day in sorted(wanted.keys() | found.keys())
            if wanted.get(day, nothing) != found.get(day, nothing)
        ]
        return [
            f"{' '.join(map(str, day))}: {found.get(day, nothing)} stored, {wanted.get(day, nothing)} follows"
            for day in different[:SHOWN_MAX]
        ]


async def _days_of_histories(live: LiveSystem) -> dict[Day, Sums]:
    prices = {row["code"]: read_terms(row["terms"]) for row in await live.rows(SCHEMA, PRICES)}
    rows_of: dict[str, list[Any]] = defaultdict(list)
    for row in await live.rows(SCHEMA, HISTORIES):
        rows_of[row["owner"]].append(tuple(row.values()))
    entries = [
        entry
        for owner, rows in rows_of.items()
        for entry in customer_entries(read_histories([owner], rows)[owner], prices)
    ]
    return {
        (row["day"], row["currency"], row["kind"], row["denominator"]): (
            Decimal(row["numerator"]),
            row["customers"],
        )
        for row in day_rows(minus=[], plus=entries)
    }


async def _stored_days(live: LiveSystem) -> dict[Day, Sums]:
    return {
        (row["day"], row["currency"], row["kind"], row["denominator"]): (row["numerator"], row["customers"])
        for row in await live.rows(SCHEMA, DAYS)
        if row["numerator"] or row["customers"]
    }


INVARIANTS = (DaysFollowFromHistories(),)
