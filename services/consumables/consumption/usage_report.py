"""Usage reports from the daily sums that are updated with every consumption."""

from datetime import datetime

import sqlalchemy as sa

from services.consumables.service import service
from shared.errors import invalid_message
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import consumables as m
from tallystick.messages.base import Customer

ITEMS_MAX = 5_000
"""The most items of one report, which must fit a message at about 150 bytes each."""

SELECT_USAGE = """
    SELECT date_trunc(:by, day, 'UTC') AS start,
           date_trunc(:by, day, 'UTC') AT TIME ZONE 'UTC' + CAST('1 ' || :by AS interval) AS until,
           {consumer} AS consumer, CAST(sum(quantity) AS bigint) AS quantity,
           CAST(sum(overage) AS bigint) AS overage
    FROM consumables.usage_days
    WHERE customer = :customer AND feature = :feature
      AND day >= date_trunc('day', CAST(:since AS timestamptz), 'UTC') AND day < :until AND quantity > 0
    GROUP BY 1, 2, 3 ORDER BY 1, 3 LIMIT :limit
"""


@service.question(m.Usage)
async def usage(work: UnitOfWork, question: m.Usage) -> m.UsageReport:
    """Return a customer's usage by periods of time; raises Rejected `invalid_message` for too many items."""
    consumer = "consumer" if question.group_by == "consumer" else "CAST(NULL AS text)"
    rows = await work.session.execute(
        sa.text(SELECT_USAGE.format(consumer=consumer)),
        {
            "by": question.by,
            "customer": question.customer.token,
            "feature": question.feature,
            "since": question.since,
            "until": question.until,
            "limit": ITEMS_MAX + 1,
        },
    )
    items = [_bucket(row.start, row.until, row.consumer, row.quantity, row.overage) for row in rows]
    if len(items) > ITEMS_MAX:
        problem = f"more than {ITEMS_MAX} spans and consumers: ask for less time, or longer spans"
        raise invalid_message([{"field": "since", "problem": problem}])
    return m.UsageReport(items=items, total=sum(item.quantity for item in items))


def _bucket(
    start: datetime, until: datetime, consumer: str | None, quantity: int, overage: int
) -> m.UsageBucket:
    return m.UsageBucket(
        start=start,
        end=until.replace(tzinfo=start.tzinfo),
        consumer=Customer.from_token(consumer) if consumer else None,
        quantity=quantity,
        overage=overage,
    )
