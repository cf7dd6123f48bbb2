"""The queue of deliveries: what is due is claimed, and what became of it is recorded, many at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from services.notifications.deliveries.http_client import Answer
from services.notifications.domain.webhook_retries import is_given_up, is_success, retry_at
from services.notifications.endpoints.manage import drop_pending
from services.notifications.endpoints.snapshots import emit_endpoint
from services.notifications.tables import EndpointRow
from shared.persistence.unit_of_work import Transactions, UnitOfWork

CLAIM_LEASE = timedelta(seconds=60)
"""A claimed delivery without a result after this is sent by somebody else: its worker has died."""
PER_ENDPOINT_MAX = 32
"""Deliveries to one endpoint at the same time."""
PER_FAILING_ENDPOINT_MAX = 2
"""The same while an endpoint fails: enough to see that it works again, without holding places for its
timeouts."""

CLAIM = sa.text("""
    WITH RECURSIVE waiting AS (
        (SELECT endpoint_id FROM notifications.deliveries WHERE status = 'pending'
         ORDER BY endpoint_id LIMIT 1)
        UNION ALL
        SELECT (SELECT endpoint_id FROM notifications.deliveries
                WHERE status = 'pending' AND endpoint_id > waiting.endpoint_id ORDER BY endpoint_id LIMIT 1)
        FROM waiting WHERE waiting.endpoint_id IS NOT NULL
    ), free AS (
        SELECT endpoint_id, url, secret, previous_secret, previous_secret_until,
               (CASE WHEN failing_since IS NULL THEN :per_endpoint ELSE :per_failing END)
               - coalesce(busy.number, 0) AS places, coalesce(busy.number, 0) AS busy
        FROM waiting JOIN notifications.endpoints USING (endpoint_id)
        LEFT JOIN unnest(CAST(:busy_ids AS text[]), CAST(:busy_numbers AS bigint[]))
            AS busy (endpoint_id, number) USING (endpoint_id)
        WHERE endpoints.status = 'enabled'
    ), due AS (
        SELECT found.delivery_id, free.url, free.secret, free.previous_secret, free.previous_secret_until
        FROM (SELECT * FROM free WHERE places > 0 ORDER BY busy, endpoint_id) AS free CROSS JOIN LATERAL (
            SELECT delivery_id FROM notifications.deliveries
            WHERE endpoint_id = free.endpoint_id AND status = 'pending' AND next_attempt_at <= :now
            ORDER BY next_attempt_at LIMIT free.places
            FOR UPDATE SKIP LOCKED
        ) AS found
        LIMIT :places
    )
    UPDATE notifications.deliveries SET attempts = attempts + 1, next_attempt_at = :leased
    FROM due JOIN notifications.outgoing_events AS event ON true
    WHERE deliveries.delivery_id = due.delivery_id AND event.event_id = deliveries.event_id
    RETURNING deliveries.delivery_id, deliveries.endpoint_id, deliveries.event_id, deliveries.attempts,
              due.url, due.secret, due.previous_secret, due.previous_secret_until, event.body
""")
"""Due deliveries of every endpoint that has some, so many of each that one cannot take all places.

Endpoints with the fewest on their way come first, so that a few with a backlog do not delay the others.
"""

RECORD = sa.text("""
    UPDATE notifications.deliveries SET status = result.status,
        next_attempt_at = coalesce(result.next_attempt_at, deliveries.next_attempt_at),
        last_attempt_at = result.at, response_status = result.response_status, duration_ms =
        result.duration_ms, response_body = result.response_body, last_error = result.last_error
    FROM unnest(
        CAST(:ids AS text[]), CAST(:attempts AS bigint[]), CAST(:statuses AS text[]),
        CAST(:next AS timestamptz[]), CAST(:at AS timestamptz[]), CAST(:codes AS bigint[]),
        CAST(:durations AS bigint[]), CAST(:bodies AS text[]), CAST(:errors AS text[])
    ) AS result (delivery_id, attempts, status, next_attempt_at, at, response_status, duration_ms,
    response_body,
                 last_error)
    WHERE deliveries.delivery_id = result.delivery_id AND deliveries.attempts = result.attempts
      AND deliveries.status = 'pending'
""")


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """A delivery to be sent, with what that takes."""

    delivery_id: str
    endpoint_id: str
    event_id: str
    attempts: int
    url: str
    secret: bytes
    previous_secret: bytes | None
    previous_secret_until: datetime | None
    body: bytes
    now: datetime


@dataclass(frozen=True, slots=True)
class Attempt:
    """A delivery that was sent, and the answer."""

    delivery: ClaimedDelivery
    answer: Answer

    @property
    def has_succeeded(self) -> bool:
        """Whether the endpoint has the event."""
        return self.answer.status is not None and is_success(self.answer.status)


async def claim_due(
    transactions: Transactions, now: datetime, busy: Mapping[str, int], places: int
) -> list[ClaimedDelivery]:
    """Take due deliveries, so that nobody else sends them before `CLAIM_LEASE` is over.

    `busy` counts what this worker is sending to each endpoint; `places` is how many more it can send.
    """
    values = {
        "per_endpoint": PER_ENDPOINT_MAX,
        "per_failing": PER_FAILING_ENDPOINT_MAX,
        "busy_ids": list(busy),
        "busy_numbers": list(busy.values()),
        "now": now,
        "leased": now + CLAIM_LEASE,
        "places": places,
    }
    async with transactions.begin(caused_by="notifications.deliver", now=now) as work:
        rows = (await work.session.execute(CLAIM, values)).mappings().all()
    return [ClaimedDelivery(**row, now=now) for row in rows]


async def record_attempts(work: UnitOfWork, attempts: Sequence[Attempt]) -> None:
    """Write what became of deliveries, and disable the endpoints that have failed for too long."""
    ordered = sorted(attempts, key=lambda one: one.delivery.delivery_id)
    results = [_result(one) for one in ordered]
    columns: dict[str, Any] = {name: [one[name] for one in results] for name in results[0]}
    await work.session.execute(RECORD, columns)
    by_endpoint: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        by_endpoint.setdefault(attempt.delivery.endpoint_id, []).append(attempt)
    failing = sa.select(EndpointRow.endpoint_id).where(
        EndpointRow.endpoint_id.in_(list(by_endpoint)), EndpointRow.failing_since.is_not(None)
    )
    failing_before = set((await work.session.scalars(failing)).all())
    for endpoint_id, own in sorted(by_endpoint.items()):
        has_worked = any(one.has_succeeded for one in own)
        if not has_worked or endpoint_id in failing_before:
            await _record_health(work, endpoint_id, own, has_worked=has_worked)


def _result(attempt: Attempt) -> dict[str, Any]:
    delivery, answer = attempt.delivery, attempt.answer
    again = None if attempt.has_succeeded else retry_at(delivery.now, delivery.attempts)
    error = answer.error or (None if attempt.has_succeeded else f"HTTP {answer.status}")
    return {
        "ids": delivery.delivery_id,
        "attempts": delivery.attempts,
        "statuses": "succeeded" if attempt.has_succeeded else ("pending" if again else "failed"),
        "next": again,
        "at": delivery.now,
        "codes": answer.status,
        "durations": answer.duration_ms,
        "bodies": answer.body,
        "errors": error,
    }


async def _record_health(
    work: UnitOfWork, endpoint_id: str, attempts: Sequence[Attempt], *, has_worked: bool
) -> None:
    """Note since when an endpoint fails, and disable it after too long."""
    row = await work.session.get(EndpointRow, endpoint_id, with_for_update=True)
    if row is None or row.status != "enabled":
        return
    if has_worked:
        row.failing_since = None
        return
    last = max(attempts, key=lambda one: one.delivery.now)
    row.failing_since = row.failing_since or last.delivery.now
    if is_given_up(row.failing_since, last.delivery.now, last.answer.status):
        row.status = "disabled"
        row.reason = "it has failed for 5 days" if last.answer.status != 410 else "it answered 410 Gone"
        await drop_pending(work, endpoint_id, f"the endpoint is disabled: {row.reason}")
        emit_endpoint(work, row, "disabled")
