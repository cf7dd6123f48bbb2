"""Catching up with an installation that is older than its change feed.

The feed has the last weeks. A yearly subscription may have had no event for longer, so once the feed is
applied, what it did not tell is asked of `subscriptions`: page after page, and from where it stopped after a
restart.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime

import sqlalchemy as sa

from services.monitoring.health.jetstream import JetStreamMonitor
from services.monitoring.projections.entities import project_products
from services.monitoring.projections.prices import project_prices
from services.monitoring.projections.subscriptions import project_subscriptions
from services.monitoring.service import service
from services.monitoring.tables import CatchUpRow, KnownCustomer, KnownSubscription
from shared.messaging.feed_consumer import keep_newest_of
from shared.messaging.service import tick_cause
from shared.messaging.service_client import ServiceClient
from shared.persistence.unit_of_work import Transactions, UnitOfWork
from tallystick.messages import catalog as c
from tallystick.messages import subscriptions as s

PAGE = 200
"""The largest page of a list question."""
Save = Callable[[UnitOfWork], Awaitable[None]]


@service.job("catch_up")
async def catch_up(
    transactions: Transactions, at: datetime, client: ServiceClient, jetstream: JetStreamMonitor
) -> None:
    """Ask for the catalog, customers and subscriptions that the feed has not told; once, when it is applied.

    Raises Unavailable where somebody does not answer; the next tick goes on from there.
    """
    for entity, ask in STEPS:
        while True:
            async with transactions.read(asked="catch_up", now=at) as work:
                row = await work.session.get(CatchUpRow, entity)
                cursor, is_done = (row.cursor, row.done_at is not None) if row else (None, False)
            if is_done:
                break
            if cursor is None and await jetstream.feed_lag():
                return
            following, seen, save = await ask(client, cursor)
            cause = tick_cause("monitoring", "catch_up", at)
            async with transactions.begin(caused_by=cause, now=at) as work:
                await save(work)
                await _record(work, entity, following, seen)


async def _record(work: UnitOfWork, entity: str, cursor: str | None, seen: int) -> None:
    row = await work.session.get(CatchUpRow, entity)
    if row is None:
        row = CatchUpRow(entity=entity, cursor=None, seen=0, done_at=None)
        work.session.add(row)
    row.cursor, row.seen = cursor, row.seen + seen
    row.done_at = work.now if cursor is None else None


async def _catalog(client: ServiceClient, _: str | None) -> tuple[str | None, int, Save]:
    products = (await client.ask(c.GetCatalog(include_archived=True))).catalog.products
    prices = [price for product in products for price in product.prices]

    async def save(work: UnitOfWork) -> None:
        await project_products(work, products)
        await project_prices(work, prices)

    return None, len(prices), save


async def _customers(client: ServiceClient, cursor: str | None) -> tuple[str | None, int, Save]:
    page = await client.ask(s.ListCustomers(limit=PAGE, cursor=cursor))
    rows = [{"customer": each.token, "version": each.version} for each in page.items]

    async def save(work: UnitOfWork) -> None:
        await keep_newest_of(work, KnownCustomer, rows)

    return page.next_cursor, len(rows), save


async def _subscriptions(client: ServiceClient, cursor: str | None) -> tuple[str | None, int, Save]:
    page = await client.ask(s.ListSubscriptions(limit=PAGE, cursor=cursor))

    async def save(work: UnitOfWork) -> None:
        ids = [each.subscription_id for each in page.items]
        query = sa.select(KnownSubscription.subscription_id).where(KnownSubscription.subscription_id.in_(ids))
        known = set(await work.session.scalars(query))
        unknown = [each for each in page.items if each.subscription_id not in known]
        if unknown:
            await project_subscriptions(work, [(each, work.now) for each in unknown])

    return page.next_cursor, len(page.items), save


STEPS = (("catalog", _catalog), ("customer", _customers), ("subscription", _subscriptions))
"""What is asked for, in this order: subscriptions are worth what their prices cost."""
