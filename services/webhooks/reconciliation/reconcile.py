"""Reconciliation: Stripe's own list of events is compared with ours, and what never arrived is taken in."""

import asyncio
from datetime import datetime

import structlog

from services.webhooks.domain.stripe_event import NotAnEvent
from services.webhooks.event_store.event_writer import Ingest
from services.webhooks.ingress.payload import read_event
from services.webhooks.reconciliation.stripe_event_list import StripeEventList
from tallystick.messages.webhooks import ReconcileResult

log = structlog.get_logger()


async def compare_with_stripe(
    events: StripeEventList, ingest: Ingest, *, since: datetime, now: datetime
) -> ReconcileResult:
    """Take in every event that Stripe lists since a moment and that is not stored.

    Raises Unavailable when Stripe or the database is away; doing it again does no harm.
    """
    listed = ingested = 0
    async for page in events.pages(since):
        listed += len(page)
        new = await asyncio.gather(*(_take_in(ingest, payload, now) for payload in page))
        ingested += sum(new)
    log.info("reconciled", since=since.isoformat(), listed=listed, ingested=ingested)
    return ReconcileResult(listed=listed, ingested=ingested)


async def _take_in(ingest: Ingest, payload: bytes, now: datetime) -> bool:
    try:
        event = read_event(payload, now)
    except NotAnEvent as error:
        # Refused at the ingress too; one such event must not keep the others from being found.
        log.warning("listed event refused", reason=str(error), payload=payload[:200])
        return False
    return await ingest.store(event)
