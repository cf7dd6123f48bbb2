"""Usage handed to Stripe's meters: written down as readings first, then told, each by an id that counts once.

What is written down never changes, so whatever breaks off in between is told again in the same words.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from services.consumables.service import service
from services.consumables.tables.metering import MeteredDayRow, ReadingRow
from shared.errors import Rejected
from shared.ids import new_id
from shared.messaging.service_client import ServiceClient
from shared.persistence.unit_of_work import Transactions, UnitOfWork
from tallystick.messages.base import Customer
from tallystick.messages.subscriptions import Reading, ReadingSkipped, RecordUsage, UsageRecorded
from tallystick.messages.subscriptions.metering import READINGS_MAX

CAUSE = "tick:report_usage"
REPORTED_BACK = timedelta(days=34)
"""Stripe takes usage of the last 35 days; a day less, so that none is refused on its way."""
KEPT = timedelta(days=90)
"""How long readings are kept for questions about a bill."""
ASK_TIMEOUT_SECONDS = 60.0
"""A hundred calls to Stripe, eight at a time."""

TAKE_TURN = "SELECT pg_advisory_xact_lock(hashtextextended('consumables report_usage', 0))"
"""Two reports at once would both find the same usage unreported."""
WRITE_DOWN = """
    WITH used AS (
        SELECT usage.customer, usage.feature, known.meter, usage.day, sum(usage.quantity)::bigint AS quantity
        FROM consumables.usage_days AS usage
        JOIN consumables.known_features AS known ON known.code = usage.feature AND known.meter IS NOT NULL
        WHERE usage.day >= %(since)s AND usage.day <= %(at)s
        GROUP BY usage.customer, usage.feature, known.meter, usage.day
    ), news AS (
        SELECT used.*, used.quantity - coalesce(metered.quantity, 0) AS more
        FROM used LEFT JOIN consumables.metered_days AS metered USING (customer, feature, day)
        WHERE used.quantity > coalesce(metered.quantity, 0)
        ORDER BY used.customer, used.feature, used.day LIMIT %(limit)s
    ), written AS (
        INSERT INTO consumables.metered_days AS old (customer, feature, day, quantity)
        SELECT customer, feature, day, quantity FROM news
        ON CONFLICT (customer, feature, day) DO UPDATE SET quantity = excluded.quantity
    )
    SELECT customer, feature, meter, day, more FROM news
"""


@service.job("report_usage")
async def report_usage(transactions: Transactions, at: datetime, client: ServiceClient) -> None:
    """Hand over all usage that no reading holds yet. Raises Unavailable when subscriptions cannot tell."""
    while await _write_down(transactions, at):
        pass
    for batch in await _pending(transactions, at):
        await _report_batch(transactions, at, client, batch)
    async with transactions.begin(caused_by=CAUSE, now=at) as work:
        await _forget(work)


async def _write_down(transactions: Transactions, at: datetime) -> bool:
    """One batch of readings; whether there was anything to read."""
    async with transactions.begin(caused_by=CAUSE, now=at) as work:
        await work.driver.execute(TAKE_TURN)
        since = _midnight(at - REPORTED_BACK)
        cursor = await work.driver.execute(WRITE_DOWN, {"since": since, "at": at, "limit": READINGS_MAX})
        found = await cursor.fetchall()
        batch = new_id("readings")
        work.session.add_all(
            ReadingRow(
                reading_id=new_id("reading"),
                batch=batch,
                customer=customer,
                feature=feature,
                meter=meter,
                quantity=more,
                # The end of the day, so that what was used after subscribing is not dated before it.
                used_at=min(at, day + timedelta(days=1, seconds=-1)),
                status="pending",
                created_at=at,
            )
            for customer, feature, meter, day, more in found
        )
        return len(found) == READINGS_MAX


async def _pending(transactions: Transactions, at: datetime) -> Sequence[str]:
    query = sa.select(ReadingRow.batch).distinct().where(ReadingRow.status == "pending")
    async with transactions.read(asked=CAUSE, now=at) as work:
        return (await work.session.scalars(query.order_by(ReadingRow.batch))).all()


async def _report_batch(transactions: Transactions, at: datetime, client: ServiceClient, batch: str) -> None:
    query = sa.select(ReadingRow).where(ReadingRow.batch == batch, ReadingRow.status == "pending")
    async with transactions.read(asked=CAUSE, now=at) as work:
        rows = (await work.session.scalars(query.order_by(ReadingRow.reading_id))).all()
    if not rows:
        return
    command = RecordUsage(
        command_id=batch,
        requested_by="consumables",
        readings=[
            Reading(
                identifier=row.reading_id,
                customer=Customer.from_token(row.customer),
                meter=row.meter,
                quantity=row.quantity,
                at=row.used_at,
            )
            for row in rows
        ],
    )
    try:
        told = await client.ask(command, timeout_seconds=ASK_TIMEOUT_SECONDS)
    except Rejected as rejection:
        reason = rejection.error.code
        skipped = [ReadingSkipped(identifier=row.reading_id, reason=reason) for row in rows]
        told = UsageRecorded(recorded=[], skipped=skipped)
    async with transactions.begin(caused_by=CAUSE, now=at) as work:
        await _note(work, told)


async def _note(work: UnitOfWork, told: UsageRecorded) -> None:
    outcomes = dict.fromkeys(told.recorded, ("recorded", None)) | {
        each.identifier: ("skipped", each.reason) for each in told.skipped
    }
    rows = await work.session.scalars(sa.select(ReadingRow).where(ReadingRow.reading_id.in_(outcomes)))
    for row in rows:
        row.status, row.reason = outcomes[row.reading_id]


async def _forget(work: UnitOfWork) -> None:
    before = work.now - KEPT
    await work.session.execute(
        sa.delete(ReadingRow).where(ReadingRow.created_at < before, ReadingRow.status != "pending")
    )
    await work.session.execute(sa.delete(MeteredDayRow).where(MeteredDayRow.day < before))


def _midnight(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
