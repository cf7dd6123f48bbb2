"""The catalog's SQL: the whole catalog is read at once, and a plan is written with a few statements."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from pydantic import BaseModel
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.subscriptions.domain.catalog.catalog_view import CatalogView
from services.subscriptions.domain.catalog.diff import CatalogPlan, Planned
from services.subscriptions.tables.base import Row
from services.subscriptions.tables.catalog import (
    FeatureRow,
    HistoryRow,
    PriceRow,
    ProductRow,
    StateRow,
    TaxRateRow,
)
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages.catalog import Feature, Price, Product
from tallystick.messages.tax_rates import TaxRate

Snapshot = TypeVar("Snapshot", Feature, Product, Price, TaxRate)
_cache: WeakKeyDictionary[sa.Pool, CatalogView] = WeakKeyDictionary()
"""The last catalog read through each connection pool, that is, from each database."""
FIND_REVISION = "SELECT revision FROM subscriptions.catalog_state"
_INBOX = Row.metadata.tables["subscriptions.inbox"]


async def load_catalog(work: UnitOfWork) -> CatalogView:
    """Load the catalog, archived entries included; it is read again only when its revision has changed."""
    await work.flush()
    found = await (await work.driver.execute(FIND_REVISION)).fetchone()
    revision = found[0] if found else 0
    pool = work.connection.engine.pool
    cached = _cache.get(pool)
    if cached is None or cached.revision != revision:
        cached = _cache[pool] = await _read_catalog(work.session, revision)
    return cached


async def _read_catalog(session: AsyncSession, revision: int) -> CatalogView:
    # Each statement has its own snapshot: in this order, every referenced row is read as well.
    prices = await _load(session, PriceRow, Price)
    products = await _load(session, ProductRow, Product)
    features = await _load(session, FeatureRow, Feature)
    tax_rates = await _load(session, TaxRateRow, TaxRate)
    return CatalogView(features, products, prices, tax_rates, revision)


async def load_product_version(session: AsyncSession, code: str, version: int) -> Product | None:
    """Load a product as of one of its versions."""
    key = {"entity": "product", "code": code, "version": version}
    row = await session.get(HistoryRow, key)
    return Product.model_validate(row.snapshot) if row else None


async def claim_catalog(work: UnitOfWork) -> bool:
    """Reserve the catalog for this command until it has its outcome.

    Returns False while another command is between its intent and its outcome, because that command's plan is
    based on the present catalog.
    """
    state = await work.session.scalar(sa.select(StateRow).with_for_update())
    if state is None:
        raise RuntimeError("the catalog's state row is missing; the migrations have not run")
    if state.applying not in (None, work.caused_by):
        unfinished = sa.select(_INBOX.c.command_id).where(
            _INBOX.c.command_id == state.applying, _INBOX.c.outcome.is_(None)
        )
        if await work.session.scalar(unfinished) is not None:
            return False
    state.applying = work.caused_by
    return True


async def save_plan(work: UnitOfWork, plan: CatalogPlan) -> None:
    """Write the changed entities, their history and the document's order."""
    await _upsert(work.session, TaxRateRow, [step.after for step in plan.tax_rates])
    await _upsert(work.session, FeatureRow, [step.after for step in plan.features])
    await _upsert(work.session, ProductRow, [step.after for step in plan.products])
    await _upsert(work.session, PriceRow, [step.after for step in plan.prices])
    entities: dict[str, Sequence[Planned[Any]]] = {
        "feature": plan.features,
        "product": plan.products,
        "price": plan.prices,
        "tax_rate": plan.tax_rates,
    }
    history = [_history(work, entity, step.after) for entity, steps in entities.items() for step in steps]
    if history:
        await work.session.execute(sa.insert(HistoryRow), history)
    moved = await _place(work.session, FeatureRow, plan.feature_order)
    moved += await _place(work.session, ProductRow, plan.product_order)
    moved += await _place(work.session, PriceRow, plan.price_order)
    moved += await _place(work.session, TaxRateRow, plan.tax_rate_order)
    if history or moved:
        await work.session.execute(sa.update(StateRow).values(revision=StateRow.revision + 1))


async def _load(session: AsyncSession, row: type[Any], model: type[Snapshot]) -> dict[str, Snapshot]:
    columns = [row.__table__.c[name] for name in model.model_fields]
    found = await session.execute(sa.select(*columns).order_by(row.archived, row.position, row.code))
    return {values["code"]: model.model_validate(dict(values)) for values in found.mappings()}


async def _upsert(session: AsyncSession, row: type[Any], snapshots: Sequence[BaseModel]) -> None:
    if not snapshots:
        return
    statement = insert(row)
    changed = {name: statement.excluded[name] for name in type(snapshots[0]).model_fields if name != "code"}
    await session.execute(
        statement.on_conflict_do_update(index_elements=["code"], set_=changed),
        [snapshot.model_dump(mode="json") for snapshot in snapshots],
    )


async def _place(session: AsyncSession, row: type[Any], codes: Iterable[str]) -> int:
    """Number the rows in the document's order and return how many of them moved."""
    order = sa.func.unnest(sa.cast(list(codes), sa.ARRAY(sa.Text))).table_valued(
        "code", with_ordinality="place"
    )
    placed = order.render_derived("placed")
    moved = await session.execute(
        sa.update(row)
        .where(row.code == placed.c.code, row.position != placed.c.place)
        .values(position=placed.c.place)
        .execution_options(synchronize_session=False)
        .returning(row.code)
    )
    return len(moved.all())


def _history(work: UnitOfWork, entity: str, after: Feature | Product | Price | TaxRate) -> dict[str, Any]:
    return {
        "entity": entity,
        "code": after.code,
        "version": after.version,
        "snapshot": after.model_dump(mode="json"),
        "caused_by": work.caused_by,
        "changed_at": work.now,
    }
