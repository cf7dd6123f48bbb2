"""Snapshots of rows, and the events that carry them."""

from services.notifications.tables import NotificationRow
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import notifications as m
from tallystick.messages.base import Customer


def notification_snapshot(row: NotificationRow) -> m.NotificationSnapshot:
    """Build the snapshot of a notification for results, events and answers."""
    return m.NotificationSnapshot(
        notification_id=row.notification_id,
        version=row.version,
        kind=row.kind,  # type: ignore[arg-type] # only kinds are written
        cause=row.cause,
        customer=Customer.from_token(row.customer) if row.customer else None,
        recipient=row.recipient,
        email=row.email,
        language=row.language,  # type: ignore[arg-type]
        status=row.status,  # type: ignore[arg-type] # a constraint of the table
        reason=row.reason,  # type: ignore[arg-type]
        attempts=row.attempts,
        last_error=row.last_error,
        message_id=row.message_id,
        created_at=row.created_at,
        next_attempt_at=row.next_attempt_at,
        sent_at=row.sent_at,
    )


def emit_notification(work: UnitOfWork, row: NotificationRow, name: str) -> None:
    """Emit an event with a notification's snapshot, whose version was incremented with the change."""
    snapshot = notification_snapshot(row)
    work.emit(
        m.NotificationEvent,
        name,
        customer=snapshot.customer,
        version=row.version,
        caused_by=row.cause,
        notification=snapshot,
    )
