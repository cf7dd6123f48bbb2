"""Histories of subscriptions and invoices, with the days of revenue that follow from them.

Both change in one transaction, under a lock for each customer: what a customer's histories made before is
taken from the days, and what they make now is added. Whatever arrives twice or late therefore leads to the
same days.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date
from fractions import Fraction
from typing import Any, Generic, TypeVar

import orjson

from services.monitoring.domain.history import Run, add_versions
from services.monitoring.domain.invoice_history import InvoiceContent, invoice_entries
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
    SELECT entity_id, owner, first, last, at, content FROM monitoring.histories
    WHERE owner = ANY(%s) AND entity = 'subscription' ORDER BY entity_id, first
"""
SELECT_INVOICES = """
    SELECT entity_id, owner, first, last, at, content FROM monitoring.histories
    WHERE entity_id = ANY(%s) ORDER BY entity_id, first
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

AnyContent = TypeVar("AnyContent", Content, InvoiceContent)


@dataclass(frozen=True, slots=True)
class Version(Generic[AnyContent]):
    """A version of a subscription or invoice that was heard, and whose it is."""

    entity_id: str
    owner: str
    run: Run[AnyContent]


Histories = dict[str, list[Run[AnyContent]]]
"""The runs of each entity, by its id."""


async def add_subscriptions(work: UnitOfWork, versions: Sequence[Version[Content]]) -> None:
    """Add versions of subscriptions to their histories, and what follows to the days of revenue."""
    owners = sorted({version.owner for version in versions})
    await work.driver.execute(LOCK_PRICES_SHARED)
    await work.driver.execute(LOCK, (owners,))
    before, owner_of = await _load_owned(work, owners)
    after = _with_versions(before, versions)
    owner_of |= {version.entity_id: version.owner for version in versions}
    await _write_histories(work, "subscription", before, after, owner_of)
    prices = await load_prices(work, [*before.values(), *after.values()])
    old, new = _by_owner(before, owner_of), _by_owner(after, owner_of)
    changed = [owner for owner in owners if old.get(owner) != new.get(owner)]
    await _add_days(
        work,
        minus=[entry for owner in changed for entry in customer_entries(old.get(owner, {}), prices)],
        plus=[entry for owner in changed for entry in customer_entries(new[owner], prices)],
    )


async def add_invoices(work: UnitOfWork, versions: Sequence[Version[InvoiceContent]]) -> None:
    """Add versions of invoices to their histories, and what follows to the days of revenue."""
    ids = sorted({version.entity_id for version in versions})
    await work.driver.execute(LOCK, (ids,))
    cursor = await work.driver.execute(SELECT_INVOICES, (ids,))
    before: Histories[InvoiceContent] = defaultdict(list)
    for entity_id, _, first, last, at, content in await cursor.fetchall():
        before[entity_id].append(Run(first, last, at, contents.read_invoice(content)))
    after = _with_versions(before, versions)
    owner_of = {version.entity_id: version.owner for version in versions}
    await _write_histories(work, "invoice", before, after, owner_of)
    await _add_days(
        work,
        minus=[entry for runs in before.values() for entry in invoice_entries(runs)],
        plus=[entry for runs in after.values() for entry in invoice_entries(runs)],
    )


async def reprice(work: UnitOfWork, owners: Sequence[str], new_prices: Prices) -> None:
    """Add what customers' subscriptions cost now that the terms of some prices are known.

    The caller holds the lock of prices, and has not written the new ones yet.
    """
    await work.driver.execute(LOCK, (sorted(owners),))
    histories, owner_of = await _load_owned(work, sorted(owners))
    old_prices = await load_prices(work, histories.values())
    owned = _by_owner(histories, owner_of).values()
    await _add_days(
        work,
        minus=[entry for each in owned for entry in customer_entries(each, old_prices)],
        plus=[entry for each in owned for entry in customer_entries(each, {**old_prices, **new_prices})],
    )


def customer_entries(histories: Mapping[str, Sequence[Run[Content]]], prices: Prices) -> list[Entry]:
    """Return everything that the histories of one customer's subscriptions did to revenue."""
    timelines = {entity_id: timeline(runs, prices) for entity_id, runs in histories.items()}
    return movements(timelines) + [entry for points in timelines.values() for entry in trials(points)]


async def load_prices(work: UnitOfWork, histories: Iterable[Sequence[Run[Content]]]) -> Prices:
    """Return the known terms of the prices that histories name."""
    codes = {item.price for runs in histories for run in runs for item in run.content.items if item.price}
    if not codes:
        return {}
    cursor = await work.driver.execute(SELECT_PRICES, (sorted(codes),))
    return {code: contents.read_terms(terms) for code, terms in await cursor.fetchall()}


async def _load_owned(work: UnitOfWork, owners: Sequence[str]) -> tuple[Histories[Content], dict[str, str]]:
    cursor = await work.driver.execute(SELECT_OWNED, (owners,))
    histories: Histories[Content] = defaultdict(list)
    owner_of: dict[str, str] = {}
    for entity_id, owner, first, last, at, content in await cursor.fetchall():
        histories[entity_id].append(Run(first, last, at, contents.read_subscription(content)))
        owner_of[entity_id] = owner
    return histories, owner_of


def _with_versions(
    before: Histories[AnyContent], versions: Iterable[Version[AnyContent]]
) -> Histories[AnyContent]:
    heard: dict[str, list[Run[AnyContent]]] = defaultdict(list)
    for version in versions:
        heard[version.entity_id].append(version.run)
    return {**before, **{id_: add_versions(before.get(id_, []), runs) for id_, runs in heard.items()}}


def _by_owner(histories: Histories[Content], owner_of: Mapping[str, str]) -> dict[str, Histories[Content]]:
    owned: dict[str, Histories[Content]] = defaultdict(dict)
    for entity_id, runs in histories.items():
        owned[owner_of[entity_id]][entity_id] = runs
    return owned


async def _write_histories(
    work: UnitOfWork,
    entity: str,
    before: Histories[AnyContent],
    after: Histories[AnyContent],
    owner_of: Mapping[str, str],
) -> None:
    """Write the runs that are new or differ, and delete those that became part of another."""
    written: list[dict[str, Any]] = []
    gone: list[dict[str, Any]] = []
    for entity_id, runs in after.items():
        old = {run.first: run for run in before.get(entity_id, ())}
        gone += [
            {"entity_id": entity_id, "first": first} for first in old.keys() - {run.first for run in runs}
        ]
        written += [
            _row(entity, entity_id, owner_of[entity_id], run) for run in runs if old.get(run.first) != run
        ]
    if gone:
        await work.driver.execute(DELETE, (orjson.dumps(gone).decode(),))
    if written:
        await work.driver.execute(WRITE, (orjson.dumps(written).decode(),))


def _row(entity: str, entity_id: str, owner: str, run: Run[Any]) -> dict[str, Any]:
    is_invoice = isinstance(run.content, InvoiceContent)
    write: Any = contents.write_invoice if is_invoice else contents.write_subscription
    return {
        "entity_id": entity_id,
        "first": run.first,
        "last": run.last,
        "entity": entity,
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
