"""Renewing what only goes on into its next cycle, which is nearly everything that is due.

There may be a hundred thousand seats of those at once, on the first of a month. The database does all of it,
some thousands at a time: the allotments are chosen and locked, then their balances, and one statement
ends what is left of the cycle before, grants, carries over, writes the ledger and tells of it. What it says
is what `settling` does for one after the other; everything else that is due is left for that.
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
"""Allotments in one transaction: past this nothing gets cheaper, and who uses the same units would wait."""
LANES = 2
"""Transactions at one time: while one waits for the disk the other works."""
NONE = "{}"
_SOMEBODY = "somebody"


async def renew_plainly(begin: Begin, at: datetime, *, subscription_id: str | None = None) -> None:
    """Renew what is due by a moment, of everybody or one subscription, where that is all there is to do."""
    lanes = 1 if subscription_id else LANES
    going = [_renew_all(begin, at, subscription_id) for _ in range(lanes)]
    for ended in await asyncio.gather(*going, return_exceptions=True):
        if ended is not None:
            raise ended


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
    # Planned anew each time: a plan for any number of allotments is one for a handful.
    cursor = await work.driver.execute(CHOOSE.format(only=only), values, prepare=False)
    row = await cursor.fetchone()
    places, count, last = row if row else (NONE, 0, None)
    if places != NONE:
        await work.driver.execute(LOCK_BALANCES, {"places": places}, prepare=False)
        await work.driver.execute(RENEW, _values(work) | {"places": places}, prepare=False)
    if last is None or count < RENEWED_AT_ONCE:
        return None
    return (datetime.fromisoformat(last[0]).astimezone(UTC), last[1], last[2], last[3])


def _values(work: UnitOfWork) -> dict[str, Any]:
    """What all messages of one transaction have in common; `{customer}` and so on are filled in there."""
    before_customer, _, after_customer = work.subjects.event("consumable", _SOMEBODY, "granted").partition(
        _SOMEBODY
    )
    trace = orjson.dumps(outgoing_headers()).decode()
    return {
        # The ids of one transaction begin alike and are told apart by a number.
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
