"""Export of usage to Stripe's meters: usage is stored as readings first, which are then reported.

Stored readings never change, so a report that is interrupted is repeated with the same values, and Stripe
counts each id once.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from services.consumables.service import service
from services.consumables.tables.metering import MeteredDayRow, ReadingRow
from shared.errors import Rejected
from shared.ids import new_id
from shared.messaging.service import tick_cause
from shared.messaging.service_client import ServiceClient
from shared.persistence.unit_of_work import Transactions, UnitOfWork
from tallystick.messages.base import Customer
from tallystick.messages.subscriptions import Reading, ReadingSkipped, RecordUsage, UsageRecorded
from tallystick.messages.subscriptions.metering import READINGS_MAX

REPORT_WINDOW = timedelta(days=34)
"""Stripe accepts usage of the last 35 days; one day less, so that no reading is too old when it arrives."""
READINGS_KEPT = timedelta(days=90)
"""How long readings are kept for inquiries about a bill."""
ASK_TIMEOUT_SECONDS = 60.0
"""A hundred calls to Stripe, eight at a time."""

LOCK_REPORT = "SELECT pg_advisory_xact_lock(hashtextextended('consumables report_usage', 0))"
"""Serializes reports, because two concurrent ones would both find the same usage unreported."""
WRITE_READINGS = """
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
    """Report all usage that is in no reading yet. Raises Unavailable if `subscriptions` does not reply."""
    while await _write_readings(transactions, at):
        pass
    for batch in await _pending_batches(transactions, at):
        await _report_batch(transactions, at, client, batch)
    async with transactions.begin(caused_by=tick_cause("consumables", "report_usage", at), now=at) as work:
        await _delete_old(work)


async def _write_readings(transactions: Transactions, at: datetime) -> bool:
    """Store one batch of readings; return whether the batch was full and there may be more."""
    async with transactions.begin(caused_by=tick_cause("consumables", "report_usage", at), now=at) as work:
        await work.driver.execute(LOCK_REPORT)
        since = _midnight(at - REPORT_WINDOW)
        cursor = await work.driver.execute(WRITE_READINGS, {"since": since, "at": at, "limit": READINGS_MAX})
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
                # The end of the day, so that usage after subscribing is not dated before the subscription.
                used_at=min(at, day + timedelta(days=1, seconds=-1)),
                status="pending",
                created_at=at,
            )
            for customer, feature, meter, day, more in found
        )
        return len(found) == READINGS_MAX


async def _pending_batches(transactions: Transactions, at: datetime) -> Sequence[str]:
    query = sa.select(ReadingRow.batch).distinct().where(ReadingRow.status == "pending")
    async with transactions.read(asked="report_usage", now=at) as work:
        return (await work.session.scalars(query.order_by(ReadingRow.batch))).all()


async def _report_batch(transactions: Transactions, at: datetime, client: ServiceClient, batch: str) -> None:
    query = sa.select(ReadingRow).where(ReadingRow.batch == batch, ReadingRow.status == "pending")
    async with transactions.read(asked="report_usage", now=at) as work:
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
        outcome = await client.ask(command, timeout_seconds=ASK_TIMEOUT_SECONDS)
    except Rejected as rejection:
        reason = rejection.error.code
        skipped = [ReadingSkipped(identifier=row.reading_id, reason=reason) for row in rows]
        outcome = UsageRecorded(recorded=[], skipped=skipped)
    async with transactions.begin(caused_by=tick_cause("consumables", "report_usage", at), now=at) as work:
        await _record_outcomes(work, outcome)


async def _record_outcomes(work: UnitOfWork, outcome: UsageRecorded) -> None:
    outcomes = dict.fromkeys(outcome.recorded, ("recorded", None)) | {
        reading.identifier: ("skipped", reading.reason) for reading in outcome.skipped
    }
    rows = await work.session.scalars(sa.select(ReadingRow).where(ReadingRow.reading_id.in_(outcomes)))
    for row in rows:
        row.status, row.reason = outcomes[row.reading_id]


async def _delete_old(work: UnitOfWork) -> None:
    before = work.now - READINGS_KEPT
    await work.session.execute(
        sa.delete(ReadingRow).where(ReadingRow.created_at < before, ReadingRow.status != "pending")
    )
    await work.session.execute(sa.delete(MeteredDayRow).where(MeteredDayRow.day < before))


def _midnight(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
