"""Bulk renewal of allotments that simply enter their next cycle, which are nearly all that are due.

On the first of a month a hundred thousand seats may be due at once. The database renews them in batches of
some thousands: it chooses and locks the allotments, locks their balances, and then one statement ends the
grants of the previous cycle, adds the new grants with the rollover, and writes ledger entries and events. The
result is the same as that of `renewal.py`, which renews one by one and handles all other due allotments.
"""

import asyncio
from datetime import UTC, datetime
from typing import Any

import orjson

from services.consumables.domain.allotments import CARRIED_PRIORITY, PLAN_PRIORITY
from services.consumables.grants.allotments import START, Position
from services.consumables.grants.bulk_renewal_sql import CHOOSE, LOCK_BALANCES, OF_SUBSCRIPTION, RENEW
from services.consumables.ledger.event_encoding import rfc3339
from shared.ids import new_id
from shared.messaging.feed_consumer import Begin
from shared.observability.tracing import outgoing_headers
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.subjects import BALANCES_BUCKET, CHANGE_FEED_STREAM, kv_subject

RENEWED_AT_ONCE = 2_000
"""Allotments in one transaction; larger batches are no faster and block consumption for longer."""
LANES = 2
"""Concurrent transactions: one works while the other waits for the disk."""
NONE = "{}"
_PLACEHOLDER_CUSTOMER = "somebody"


async def renew_in_bulk(begin: Begin, at: datetime, *, subscription_id: str | None = None) -> None:
    """Renew the due allotments of all subscriptions or of one, as far as bulk renewal applies to them."""
    lanes = 1 if subscription_id else LANES
    renewals = [_renew_all(begin, at, subscription_id) for _ in range(lanes)]
    for error in await asyncio.gather(*renewals, return_exceptions=True):
        if error is not None:
            raise error


async def _renew_all(begin: Begin, at: datetime, subscription_id: str | None) -> None:
    position: Position | None = START
    while position is not None:
        async with begin() as work:
            position = await _renew_next(work, at, position, subscription_id)


async def _renew_next(
    work: UnitOfWork, at: datetime, after: Position, subscription_id: str | None
) -> Position | None:
    only = OF_SUBSCRIPTION if subscription_id else ""
    values: dict[str, Any] = {
        **dict(zip(("next_at", "subscription_id", "account", "slot"), after, strict=True)),
        "at": at,
        "limit": RENEWED_AT_ONCE,
        "only_subscription": subscription_id,
    }
    # Not prepared, because a generic plan would assume a handful of allotments.
    cursor = await work.driver.execute(CHOOSE.format(only=only), values, prepare=False)
    row = await cursor.fetchone()
    places, count, last = row if row else (NONE, 0, None)
    if places != NONE:
        await work.driver.execute(LOCK_BALANCES, {"places": places}, prepare=False)
        await work.driver.execute(RENEW, _renewal_parameters(work) | {"places": places}, prepare=False)
    if last is None or count < RENEWED_AT_ONCE:
        return None
    return (datetime.fromisoformat(last[0]).astimezone(UTC), last[1], last[2], last[3])


def _renewal_parameters(work: UnitOfWork) -> dict[str, Any]:
    """Return the parameters that all messages of one transaction share; the statement adds the customers."""
    subject = work.subjects.event("consumable", _PLACEHOLDER_CUSTOMER, "granted")
    before_customer, _, after_customer = subject.partition(_PLACEHOLDER_CUSTOMER)
    trace = orjson.dumps(outgoing_headers()).decode()
    return {
        # All ids of one transaction share this prefix and differ by a number.
        "id": new_id("batch").removeprefix("batch_"),
        "now": work.now,
        "now_text": rfc3339(work.now),
        "cause": work.caused_by,
        "cause_json": orjson.dumps(work.caused_by).decode(),
        "trace": "" if trace == NONE else f",{trace[1:-1]}",
        "no_headers": trace,
        "feed": CHANGE_FEED_STREAM,
        "bucket": f"KV_{BALANCES_BUCKET}",
        "key_subject": kv_subject(BALANCES_BUCKET, ""),
        "before_customer": before_customer,
        "after_customer": after_customer.removesuffix("grantedV1"),
        "priority": PLAN_PRIORITY,
        "carried_priority": CARRIED_PRIORITY,
    }
