"""Snapshots of endpoints and deliveries, and the events of endpoints."""

from services.notifications.tables import DeliveryRow, EndpointRow
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import notifications as m
from tallystick.messages.base import Customer


def endpoint_snapshot(row: EndpointRow) -> m.EndpointSnapshot:
    """Build the snapshot of an endpoint, without its secrets."""
    return m.EndpointSnapshot(
        endpoint_id=row.endpoint_id,
        version=row.version,
        customer=Customer.from_token(row.customer) if row.customer else None,
        url=row.url,
        events=row.events,
        description=row.description,
        status=row.status,  # type: ignore[arg-type] # a constraint of the table
        reason=row.reason,
        failing_since=row.failing_since,
        previous_secret_until=row.previous_secret_until,
        created_at=row.created_at,
    )


def delivery_snapshot(row: DeliveryRow) -> m.DeliverySnapshot:
    """Build the snapshot of a delivery."""
    return m.DeliverySnapshot(
        delivery_id=row.delivery_id,
        endpoint_id=row.endpoint_id,
        event_id=row.event_id,
        type=row.type,
        status=row.status,  # type: ignore[arg-type] # a constraint of the table
        attempts=row.attempts,
        next_attempt_at=row.next_attempt_at if row.status == "pending" else None,
        last_attempt_at=row.last_attempt_at,
        response_status=row.response_status,
        duration_ms=row.duration_ms,
        response_body=row.response_body,
        last_error=row.last_error,
        created_at=row.created_at,
    )


def emit_endpoint(work: UnitOfWork, row: EndpointRow, name: str) -> m.EndpointSnapshot:
    """Increment an endpoint's version and emit an event with its snapshot; the row is locked or new."""
    row.version += 1
    snapshot = endpoint_snapshot(row)
    work.emit(m.EndpointEvent, name, customer=snapshot.customer, version=row.version, endpoint=snapshot)
    return snapshot
