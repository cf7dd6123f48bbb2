"""Reads the whole feed and writes a delivery for each endpoint that gets an event.

Events that arrive together share one transaction. A delivery is unique for its endpoint and event, so that
an event that is repeated is not sent again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.notifications.clock import Clock
from services.notifications.domain.event_patterns import matches
from services.notifications.service import service
from services.notifications.tables import DeliveryRow, EndpointRow, OutgoingEventRow
from shared.ids import new_id
from shared.messaging.redelivery import Incoming, Undeliverable
from shared.persistence.database import is_database_away
from shared.persistence.group_commit import GroupCommit
from shared.persistence.unit_of_work import Transactions
from tallystick.subjects import OUTGOING_EVENTS_STREAM, PLATFORM_TOKENS, Subjects

BODY_MAX_BYTES = 262_144
"""Larger events are not sent; the receiver can ask for the entity."""
KEPT_FOR = timedelta(days=30)
"""Deliveries and their bodies; also the age from which an event is not new any more."""


@dataclass(frozen=True, slots=True)
class OutgoingEvent:
    """An event as endpoints get it."""

    event_id: str
    type: str
    """Without version: `invoice.paid`."""
    customer: str | None
    occurred_at: datetime
    body: bytes


class FanOut:
    """Writes deliveries, many events in one transaction."""

    def __init__(self, subjects: Subjects, clock: Clock) -> None:
        self._subjects = subjects
        self._clock = clock
        self._transactions: Transactions | None = None
        self._group: GroupCommit[OutgoingEvent, None] = GroupCommit(
            self._commit,
            service="notifications",
            name="outgoing_events",
            isolates=lambda error: not is_database_away(error),
        )

    async def add(self, transactions: Transactions, incoming: Incoming) -> None:
        """Write the deliveries of an event; raises Undeliverable for what is no event."""
        self._transactions = transactions
        event = self._read(incoming)
        if self._clock.now() - event.occurred_at <= KEPT_FOR:
            await self._group.submit(event)

    async def close(self) -> None:
        """Wait for the current commit."""
        await self._group.close()

    def _read(self, incoming: Incoming) -> OutgoingEvent:
        try:
            subject = self._subjects.parse_event(incoming.subject)
            document = orjson.loads(incoming.body)
            event_id, occurred_at = str(document["event_id"]), datetime.fromisoformat(document["occurred_at"])
        except (ValueError, KeyError, TypeError) as error:
            raise Undeliverable(f"not an event: {error}") from error
        event_type = f"{subject.entity}.{subject.event}"
        customer = None if subject.customer in PLATFORM_TOKENS else subject.customer
        body = orjson.dumps({"type": event_type, **document})
        return OutgoingEvent(event_id, event_type, customer, occurred_at, body)

    async def _commit(self, events: Sequence[OutgoingEvent]) -> list[None]:
        assert self._transactions is not None
        now = self._clock.now()
        async with self._transactions.begin(caused_by=events[0].event_id, now=now) as work:
            endpoints = (await work.session.scalars(_endpoints_of(events))).all()
            deliveries = [
                _delivery(endpoint, event, now)
                for event in events
                for endpoint in endpoints
                if _gets(endpoint, event)
            ]
            if deliveries:
                wanted = {one["event_id"] for one in deliveries}
                bodies = [_stored(event, now) for event in events if event.event_id in wanted]
                # In the order of their keys, so that two workers cannot deadlock.
                bodies.sort(key=lambda one: one["event_id"])
                deliveries.sort(key=lambda one: (one["event_id"], one["endpoint_id"]))
                await work.session.execute(insert(OutgoingEventRow).on_conflict_do_nothing(), bodies)
                await work.session.execute(insert(DeliveryRow).on_conflict_do_nothing(), deliveries)
        return [None] * len(events)


@service.follow("notifications-outgoing", stream=OUTGOING_EVENTS_STREAM, name="fan_out")
async def fan_out_event(transactions: Transactions, incoming: Incoming, fan_out: FanOut) -> None:
    """Write the deliveries of an event of the feed."""
    await fan_out.add(transactions, incoming)


def _endpoints_of(events: Sequence[OutgoingEvent]) -> Any:
    customers = sorted({event.customer for event in events if event.customer})
    return sa.select(EndpointRow).where(
        EndpointRow.status == "enabled",
        EndpointRow.customer.is_(None) | EndpointRow.customer.in_(customers),
    )


def _gets(endpoint: EndpointRow, event: OutgoingEvent) -> bool:
    is_its_own = endpoint.customer is None or endpoint.customer == event.customer
    return is_its_own and event.occurred_at >= endpoint.created_at and matches(endpoint.events, event.type)


def _stored(event: OutgoingEvent, now: datetime) -> dict[str, Any]:
    return {
        "event_id": event.event_id,
        "type": event.type,
        "body": event.body,
        "occurred_at": event.occurred_at,
        "created_at": now,
    }


def _delivery(endpoint: EndpointRow, event: OutgoingEvent, now: datetime) -> dict[str, Any]:
    is_too_large = len(event.body) > BODY_MAX_BYTES
    return {
        "delivery_id": new_id("dlv"),
        "endpoint_id": endpoint.endpoint_id,
        "event_id": event.event_id,
        "type": event.type,
        "status": "failed" if is_too_large else "pending",
        "attempts": 0,
        "next_attempt_at": now,
        "last_error": f"the event has {len(event.body)} bytes" if is_too_large else None,
        "created_at": now,
    }
