"""Capture of a day's snapshot: by command, and by the daily tick."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.monitoring.revenue.queries import CHURN_DAYS, churn_percent, mrr_before
from services.monitoring.service import service
from services.monitoring.snapshots.counts import count_everything, load_feature_totals
from services.monitoring.snapshots.resources import newest_readings
from services.monitoring.tables import SnapshotRow
from shared.errors import Unavailable
from shared.messaging.external_command import ExternalCommandSteps
from shared.messaging.service import tick_cause
from shared.messaging.service_client import ServiceClient
from shared.persistence.cursors import decode_cursor, encode_cursor
from shared.persistence.unit_of_work import Transactions, UnitOfWork
from tallystick.messages import monitoring as m


@service.external_command(m.CaptureSnapshot)
async def capture_snapshot(
    steps: ExternalCommandSteps, command: m.CaptureSnapshot, client: ServiceClient
) -> m.SnapshotCaptured:
    """Capture the snapshot of a day with what is known now; replace the one it has."""
    at = command.at or steps.received_at
    totals = await _feature_totals(client)

    async def save(work: UnitOfWork) -> m.SnapshotCaptured:
        return m.SnapshotCaptured(snapshot=await _capture(work, at, totals))

    return await steps.record(save)


@service.job("capture_snapshot")
async def capture_daily(transactions: Transactions, at: datetime, client: ServiceClient) -> None:
    """Capture the snapshot of the tick's day."""
    totals = await _feature_totals(client)
    async with transactions.begin(caused_by=tick_cause("monitoring", "capture_snapshot", at), now=at) as work:
        await _capture(work, at, totals)


@service.question(m.ListSnapshots)
async def list_snapshots(work: UnitOfWork, question: m.ListSnapshots) -> m.SnapshotPage:
    """Return a page of snapshots, newest first."""
    query = sa.select(SnapshotRow).order_by(SnapshotRow.day.desc()).limit(question.limit + 1)
    if question.since is not None:
        query = query.where(SnapshotRow.day >= question.since.date())
    if question.until is not None:
        query = query.where(sa.func.timezone("UTC", sa.cast(SnapshotRow.day, sa.TIMESTAMP)) < question.until)
    if question.cursor is not None:
        query = query.where(SnapshotRow.day < _day_of(question.cursor))
    rows = (await work.session.scalars(query)).all()
    page = rows[: question.limit]
    more = encode_cursor(page[-1].day.isoformat()) if len(rows) > len(page) else None
    return m.SnapshotPage(items=[snapshot_of(row) for row in page], next_cursor=more)


def snapshot_of(row: SnapshotRow) -> m.Snapshot:
    """Return the message of a stored snapshot."""
    own = {
        "snapshot_id": f"snap_{row.day:%Y%m%d}",
        "version": row.version,
        "day": row.day,
        "captured_at": row.captured_at,
    }
    return m.Snapshot.model_validate({**row.figures, **own}, strict=False)


async def _feature_totals(client: ServiceClient) -> dict[str, Any] | None:
    """Ask for the totals of features; a snapshot without them is better than none."""
    try:
        return await load_feature_totals(client)
    except Unavailable:
        return None


async def _capture(work: UnitOfWork, at: datetime, totals: dict[str, Any] | None) -> m.Snapshot:
    day = at.astimezone(UTC).date()
    readings = await newest_readings(work, day)
    figures = await count_everything(work) | {
        "mrr": await mrr_before(work, day + timedelta(days=1)),
        "customer_churn_percent": await churn_percent(
            work, day - timedelta(days=CHURN_DAYS - 1), day + timedelta(days=1)
        ),
        "features": totals,
        "resources": {code: reading.model_dump(mode="json") for code, reading in readings.items()},
    }
    snapshot = snapshot_of(await _write(work, day, figures))
    work.emit(m.SnapshotEvent, "captured", customer=None, version=snapshot.version, snapshot=snapshot)
    return snapshot


async def _write(work: UnitOfWork, day: date, figures: dict[str, Any]) -> SnapshotRow:
    statement = insert(SnapshotRow).values(day=day, version=1, captured_at=work.now, figures=figures)
    changed = {
        "version": SnapshotRow.version + 1,
        "captured_at": statement.excluded.captured_at,
        "figures": statement.excluded.figures,
    }
    upsert = statement.on_conflict_do_update(index_elements=["day"], set_=changed).returning(SnapshotRow)
    return (await work.session.scalars(upsert, execution_options={"populate_existing": True})).one()


def _day_of(cursor: str) -> date:
    (day,) = decode_cursor(cursor, 1)
    try:
        return date.fromisoformat(day)
    except ValueError:
        return date.min
