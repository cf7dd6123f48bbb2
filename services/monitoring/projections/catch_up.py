"""Catching up with an installation that is older than its change feed.

The feed has the last weeks. A yearly subscription may have had no event for longer, so once the feed is
applied, what it did not tell is asked of the services: page after page, and from where it stopped after a
restart.
"""

from datetime import datetime

from services.monitoring.health.jetstream import JetStreamMonitor
from services.monitoring.projections.older_entities import (
    Answered,
    ask_add_ons,
    ask_catalog,
    ask_customers,
    ask_invoices,
    ask_subscriptions,
    ask_teams,
)
from services.monitoring.service import service
from services.monitoring.tables import CatchUpRow
from shared.messaging.service import tick_cause
from shared.messaging.service_client import ServiceClient
from shared.persistence.unit_of_work import Transactions, UnitOfWork

STEPS = (
    ("catalog", ask_catalog),
    ("customer", ask_customers),
    ("subscription", ask_subscriptions),
    ("invoice", ask_invoices),
    ("add_on", ask_add_ons),
    ("team", ask_teams),
)
"""What is asked for, in this order: subscriptions are worth what their prices cost, and invoices and add-ons
are asked for by customer."""


@service.job("catch_up")
async def catch_up(
    transactions: Transactions, at: datetime, client: ServiceClient, jetstream: JetStreamMonitor
) -> None:
    """Ask the services for what the feed has not told; once, when it is applied.

    Raises Unavailable where somebody does not answer; the next tick goes on from there.
    """
    for entity, ask in STEPS:
        while True:
            async with transactions.read(asked="catch_up", now=at) as reading:
                row = await reading.session.get(CatchUpRow, entity)
                cursor, is_done = (row.cursor, row.done_at is not None) if row else (None, False)
                if is_done:
                    break
                if cursor is None and await jetstream.feed_lag():
                    return
                answered = await ask(client, reading, cursor)
            cause = tick_cause("monitoring", "catch_up", at)
            async with transactions.begin(caused_by=cause, now=at) as work:
                await answered.save(work)
                await _record(work, entity, answered)


async def _record(work: UnitOfWork, entity: str, answered: Answered) -> None:
    row = await work.session.get(CatchUpRow, entity)
    if row is None:
        row = CatchUpRow(entity=entity, cursor=None, seen=0, done_at=None)
        work.session.add(row)
    row.cursor, row.seen = answered.following, row.seen + answered.seen
    row.done_at = work.now if answered.following is None else None
