"""Queries and statements on stored events, replays and reconciliation; `event_writer` stores events."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.webhooks.domain.stripe_event import ProcessingState
from services.webhooks.tables import ReconciliationProgress, ReplayProgress, StripeEvent
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages.webhooks import APPLIED_EVENT_TYPES, StoredEvent
from tallystick.subjects import STRIPE_EVENTS_STREAM

EVENT_HEADERS = {"content-type": "application/json"}
EVENT_COLUMNS = (
    StripeEvent.event_id,
    StripeEvent.type,
    StripeEvent.status,
    StripeEvent.created_at,
    StripeEvent.received_at,
    StripeEvent.attempts,
    StripeEvent.last_error,
)


@dataclass(frozen=True, slots=True)
class EventCursor:
    """The position of an event in the order of arrival."""

    received_at: datetime
    event_id: str


async def find_event(session: AsyncSession, event_id: str) -> tuple[StoredEvent, bytes] | None:
    """Find a stored event and its payload."""
    query = sa.select(*EVENT_COLUMNS, StripeEvent.payload).where(StripeEvent.event_id == event_id)
    row = (await session.execute(query)).one_or_none()
    return None if row is None else (_stored_event(row), row.payload)


async def list_events(
    session: AsyncSession,
    *,
    event_type: str | None,
    status: str | None,
    since: datetime | None,
    before: EventCursor | None,
    limit: int,
) -> list[StoredEvent]:
    """List stored events before a position, newest first."""
    query = sa.select(*EVENT_COLUMNS)
    if event_type is not None:
        query = query.where(StripeEvent.type == event_type)
    if status is not None:
        query = query.where(StripeEvent.status == status)
    if since is not None:
        query = query.where(StripeEvent.received_at >= since)
    if before is not None:
        query = query.where(
            _position() < sa.tuple_(sa.literal(before.received_at), sa.literal(before.event_id))
        )
    query = query.order_by(StripeEvent.received_at.desc(), StripeEvent.event_id.desc()).limit(limit)
    return [_stored_event(row) for row in await session.execute(query)]


async def missing_event_ids(session: AsyncSession, event_ids: Sequence[str]) -> list[str]:
    """Return the ids of these events that are not stored."""
    known = await session.scalars(sa.select(StripeEvent.event_id).where(StripeEvent.event_id.in_(event_ids)))
    return sorted(set(event_ids) - set(known))


async def lock_state(session: AsyncSession, event_id: str) -> ProcessingState | None:
    """Lock an event until the transaction ends and return its state; None if it is not stored."""
    query = sa.select(StripeEvent.status, StripeEvent.attempts, StripeEvent.last_error)
    row = (
        await session.execute(query.where(StripeEvent.event_id == event_id).with_for_update())
    ).one_or_none()
    return None if row is None else ProcessingState(row.status, row.attempts, row.last_error)


async def save_state(session: AsyncSession, event_id: str, state: ProcessingState) -> None:
    """Write the state of an event."""
    await session.execute(
        sa.update(StripeEvent)
        .where(StripeEvent.event_id == event_id)
        .values(status=state.status, attempts=state.attempts, last_error=state.last_error)
    )


async def lock_replay(session: AsyncSession, command_id: str) -> ReplayProgress:
    """Lock and return the progress of a replay, so that its batches run one after another."""
    await session.execute(insert(ReplayProgress).values(command_id=command_id).on_conflict_do_nothing())
    query = sa.select(ReplayProgress).where(ReplayProgress.command_id == command_id).with_for_update()
    return (await session.execute(query)).scalar_one()


async def republish_batch(
    work: UnitOfWork,
    conditions: Sequence[sa.ColumnElement[bool]],
    *,
    after: EventCursor | None,
    limit: int,
    message_id_suffix: str,
) -> list[EventCursor]:
    """Publish the next matching events again, oldest first, and reset their status; return their positions.

    Their message ids get `message_id_suffix`, as JetStream would discard them as duplicates otherwise.
    """
    query = sa.select(StripeEvent.event_id, StripeEvent.received_at, StripeEvent.type, StripeEvent.payload)
    query = query.where(
        *conditions, sa.or_(StripeEvent.status != "ignored", StripeEvent.last_error.is_(None))
    )
    if after is not None:
        query = query.where(
            _position() > sa.tuple_(sa.literal(after.received_at), sa.literal(after.event_id))
        )
    query = query.order_by(StripeEvent.received_at, StripeEvent.event_id).limit(limit)
    rows = (await work.session.execute(query)).all()
    for row in rows:
        work.publish(
            STRIPE_EVENTS_STREAM,
            work.subjects.stripe_event(row.type),
            row.payload,
            message_id=f"{row.event_id}.{message_id_suffix}",
            headers=dict(EVENT_HEADERS),
        )
    await work.session.execute(
        sa.update(StripeEvent)
        .where(
            StripeEvent.event_id.in_([row.event_id for row in rows]),
            StripeEvent.type.in_(APPLIED_EVENT_TYPES),
        )
        .values(status="received", attempts=0, last_error=None)
    )
    return [EventCursor(row.received_at, row.event_id) for row in rows]


async def reconciled_until(session: AsyncSession) -> datetime | None:
    """Return the time up to which Stripe's list has been compared; None before the first run."""
    return await session.scalar(sa.select(ReconciliationProgress.until))


async def save_reconciled_until(session: AsyncSession, until: datetime) -> None:
    """Write the time up to which Stripe's list has been compared."""
    statement = insert(ReconciliationProgress).values(until=until)
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=[ReconciliationProgress.one],
            set_={"until": statement.excluded.until},
        )
    )


def _position() -> Any:
    return sa.tuple_(StripeEvent.received_at, StripeEvent.event_id)


def _stored_event(row: Any) -> StoredEvent:
    return StoredEvent(
        event_id=row.event_id,
        type=row.type,
        status=row.status,
        created_at=row.created_at,
        received_at=row.received_at,
        attempts=row.attempts,
        last_error=row.last_error,
    )
