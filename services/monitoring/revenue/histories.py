"""Histories of subscriptions and invoices, with the days of revenue that follow from them.

Both change in one transaction, under a lock for each customer: what a customer's histories made before is
taken from the days, and what they make now is added. Whatever arrives twice or late therefore leads to the
same days.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date
from fractions import Fraction
from typing import Any

import orjson

from services.monitoring.domain.history import Run, add_version
from services.monitoring.domain.invoice_history import InvoiceContent, invoice_entries, net_shares
from services.monitoring.domain.movements import Entry, movements, trials
from services.monitoring.domain.prices import Prices
from services.monitoring.domain.subscription_history import Content, timeline
from services.monitoring.revenue import contents
from shared.persistence.unit_of_work import UnitOfWork

LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(id, 13)) FROM unnest(%s::text[]) AS id ORDER BY id"
LOCK_PRICES_SHARED = "SELECT pg_advisory_xact_lock_shared(hashtextextended('monitoring prices', 0))"
"""Prices that become known must not miss a subscription that is being written."""
LOCK_PRICES = "SELECT pg_advisory_xact_lock(hashtextextended('monitoring prices', 0))"
SELECT_OWNED = """
    SELECT entity, entity_id, owner, first, last, at, content FROM monitoring.histories
    WHERE owner = ANY(%s) ORDER BY entity_id, first
"""
SELECT_PRICES = "SELECT code, terms FROM monitoring.known_prices WHERE code = ANY(%s)"
DELETE = """
    DELETE FROM monitoring.histories AS old
    USING jsonb_to_recordset(%s::jsonb) AS gone (entity_id text, first bigint)
    WHERE old.entity_id = gone.entity_id AND old.first = gone.first
"""
WRITE = """
    INSERT INTO monitoring.histories (entity_id, first, last, entity, owner, at, content)
    SELECT entity_id, first, last, entity, owner, at, content FROM jsonb_to_recordset(%s::jsonb) AS new
        (entity_id text, first bigint, last bigint, entity text, owner text, at timestamptz, content jsonb)
    ON CONFLICT (entity_id, first) DO UPDATE
    SET last = excluded.last, at = excluded.at, content = excluded.content
"""
ADD_DAYS = """
    INSERT INTO monitoring.revenue_days AS old (day, currency, kind, denominator, numerator, customers)
    SELECT day, currency, kind, denominator, numerator, customers FROM jsonb_to_recordset(%s::jsonb) AS new
        (day date, currency text, kind text, denominator bigint, numerator numeric, customers bigint)
    ORDER BY day, currency, kind, denominator
    ON CONFLICT (day, currency, kind, denominator) DO UPDATE
    SET numerator = old.numerator + excluded.numerator, customers = old.customers + excluded.customers
"""
"""Rows are locked in the order of their keys, so that two transactions cannot deadlock."""


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a subscription or invoice that was heard, and whose it is."""

    entity_id: str
    owner: str
    run: Run[Any]


@dataclass(slots=True)
class CustomerHistories:
    """The runs of one customer's subscriptions and invoices, by id."""

    subscriptions: dict[str, list[Run[Content]]] = field(default_factory=dict)
    invoices: dict[str, list[Run[InvoiceContent]]] = field(default_factory=dict)

    def of(self, content: Content | InvoiceContent) -> dict[str, list[Run[Any]]]:
        """Return the runs of the kind of entity that has such a content."""
        return self.invoices if isinstance(content, InvoiceContent) else self.subscriptions

    def with_versions(self, versions: Iterable[Version]) -> "CustomerHistories":
        """Return a copy with more versions."""
        after = CustomerHistories(dict(self.subscriptions), dict(self.invoices))
        for version in versions:
            runs = after.of(version.run.content)
            runs[version.entity_id] = add_version(runs.get(version.entity_id, []), version.run)
        return after

    def runs(self) -> Iterator[tuple[str, Run[Any]]]:
        """Yield all runs with the ids of their entities."""
        for histories in (self.subscriptions, self.invoices):
            for entity_id, runs in histories.items():
                yield from ((entity_id, run) for run in runs)


async def add_versions(work: UnitOfWork, versions: Sequence[Version]) -> None:
    """Add versions of subscriptions and invoices to their histories, and what follows to the days."""
    heard: dict[str, list[Version]] = defaultdict(list)
    for version in versions:
        heard[version.owner].append(version)
    await work.driver.execute(LOCK_PRICES_SHARED)
    before = await _lock(work, heard)
    after = {owner: before[owner].with_versions(own) for owner, own in heard.items()}
    changed = sorted(owner for owner in heard if before[owner] != after[owner])
    if not changed:
        return
    await _write(work, before, after)
    prices = await load_prices(work, after.values())
    await _add_days(
        work,
        minus=[entry for owner in changed for entry in customer_entries(before[owner], prices)],
        plus=[entry for owner in changed for entry in customer_entries(after[owner], prices)],
    )


async def reprice(work: UnitOfWork, owners: Iterable[str], new_prices: Prices) -> None:
    """Add what customers' subscriptions cost now that the terms of some prices are known.

    The caller holds the lock of prices, and has not written the new ones yet.
    """
    owned = await _lock(work, owners)
    old_prices = await load_prices(work, owned.values())
    prices = {**old_prices, **new_prices}
    await _add_days(
        work,
        minus=[entry for each in owned.values() for entry in customer_entries(each, old_prices)],
        plus=[entry for each in owned.values() for entry in customer_entries(each, prices)],
    )


def customer_entries(histories: CustomerHistories, prices: Prices) -> list[Entry]:
    """Return everything that the histories of one customer did to revenue."""
    invoices = histories.invoices.values()
    timelines = {
        subscription_id: timeline(runs, prices, net_shares(invoices, subscription_id))
        for subscription_id, runs in histories.subscriptions.items()
    }
    return [
        *movements(timelines),
        *(entry for points in timelines.values() for entry in trials(points)),
        *(entry for runs in invoices for entry in invoice_entries(runs)),
    ]


async def load_prices(work: UnitOfWork, histories: Iterable[CustomerHistories]) -> Prices:
    """Return the known terms of the prices that histories name."""
    codes = {
        item.price
        for each in histories
        for runs in each.subscriptions.values()
        for run in runs
        for item in run.content.items
        if item.price
    }
    if not codes:
        return {}
    cursor = await work.driver.execute(SELECT_PRICES, (sorted(codes),))
    return {code: contents.read_terms(terms) for code, terms in await cursor.fetchall()}


async def _lock(work: UnitOfWork, owners: Iterable[str]) -> dict[str, CustomerHistories]:
    """Lock the histories of customers and load them."""
    names = sorted(owners)
    await work.driver.execute(LOCK, (names,))
    cursor = await work.driver.execute(SELECT_OWNED, (names,))
    return read_histories(names, await cursor.fetchall())


def read_histories(owners: Iterable[str], rows: Iterable[Any]) -> dict[str, CustomerHistories]:
    """Return the histories of customers from the rows of `SELECT_OWNED`."""
    found = {owner: CustomerHistories() for owner in owners}
    for entity, entity_id, owner, first, last, at, content in rows:
        is_invoice = entity == "invoice"
        read: Any = contents.read_invoice if is_invoice else contents.read_subscription
        runs: Any = found[owner].invoices if is_invoice else found[owner].subscriptions
        runs.setdefault(entity_id, []).append(Run(first, last, at, read(content)))
    return found


async def _write(
    work: UnitOfWork, before: Mapping[str, CustomerHistories], after: Mapping[str, CustomerHistories]
) -> None:
    """Write the runs that are new or differ, and delete those that became part of another."""
    written: list[dict[str, Any]] = []
    gone: list[dict[str, Any]] = []
    for owner, histories in after.items():
        old = {(entity_id, run.first): run for entity_id, run in before[owner].runs()}
        new = {(entity_id, run.first): run for entity_id, run in histories.runs()}
        gone += [{"entity_id": entity_id, "first": first} for entity_id, first in old.keys() - new.keys()]
        written += [_row(key[0], owner, run) for key, run in new.items() if old.get(key) != run]
    if gone:
        await work.driver.execute(DELETE, (orjson.dumps(gone).decode(),))
    if written:
        await work.driver.execute(WRITE, (orjson.dumps(written).decode(),))


def _row(entity_id: str, owner: str, run: Run[Any]) -> dict[str, Any]:
    is_invoice = isinstance(run.content, InvoiceContent)
    write: Any = contents.write_invoice if is_invoice else contents.write_subscription
    return {
        "entity_id": entity_id,
        "first": run.first,
        "last": run.last,
        "entity": "invoice" if is_invoice else "subscription",
        "owner": owner,
        "at": run.at,
        "content": write(run.content),
    }


async def _add_days(work: UnitOfWork, *, minus: Sequence[Entry], plus: Sequence[Entry]) -> None:
    rows = day_rows(minus=minus, plus=plus)
    if rows:
        await work.driver.execute(ADD_DAYS, (orjson.dumps(rows).decode(),))


def day_rows(*, minus: Sequence[Entry], plus: Sequence[Entry]) -> list[dict[str, Any]]:
    """Return the rows of days by which entries differ; a day whose sums are equal has none."""
    sums: dict[tuple[date, str, str, int], list[int]] = defaultdict(lambda: [0, 0])
    for sign, entries in ((-1, minus), (1, plus)):
        for entry in entries:
            amount = Fraction(entry.amount)
            day = entry.at.astimezone(UTC).date()
            cell = sums[day, entry.currency, entry.kind, amount.denominator]
            cell[0] += sign * amount.numerator
            cell[1] += sign * entry.customers
    return [
        {
            "day": day,
            "currency": currency,
            "kind": kind,
            "denominator": denominator,
            # As text, because it may be larger than the numbers of JSON.
            "numerator": str(numerator),
            "customers": customers,
        }
        for (day, currency, kind, denominator), (numerator, customers) in sums.items()
        if numerator or customers
    ]
