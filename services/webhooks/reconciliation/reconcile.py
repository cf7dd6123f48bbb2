"""Reconciliation: Stripe's own list of events is compared with ours, and what never arrived is taken in."""

import asyncio
from datetime import datetime

import structlog

from services.webhooks.domain.stripe_event import NotAnEvent, reconcile_since
from services.webhooks.event_store import repository
from services.webhooks.event_store.event_writer import EventWriter
from services.webhooks.ingress.payload import read_event
from services.webhooks.reconciliation.stripe_event_list import StripeEventList
from services.webhooks.service import service
from shared.clock import utc_now
from shared.messaging.external_command import ExternalCommandSteps
from shared.messaging.service import tick_cause
from shared.persistence.unit_of_work import Transactions
from tallystick.messages import webhooks as m

log = structlog.get_logger()


@service.external_command(m.Reconcile)
async def reconcile(
    steps: ExternalCommandSteps, command: m.Reconcile, events: StripeEventList, ingest: EventWriter
) -> m.ReconcileResult:
    """Take in what Stripe lists and we never heard of."""
    events.require()
    return await compare_with_stripe(events, ingest, since=command.since, now=steps.received_at)


@service.job("reconcile")
async def reconcile_due(
    transactions: Transactions, at: datetime, events: StripeEventList, ingest: EventWriter
) -> None:
    """Compare with Stripe's list since the last time; nothing where payments are off."""
    if not events.configured:
        return
    # A tick may carry any time, but Stripe's list ends at the present.
    now = min(at, utc_now())
    caused_by = tick_cause("webhooks", "reconcile", at)
    async with transactions.begin(caused_by=caused_by, now=now) as work:
        since = reconcile_since(await repository.reconciled_until(work.session), now)
    await compare_with_stripe(events, ingest, since=since, now=now)
    async with transactions.begin(caused_by=caused_by, now=now) as work:
        await repository.save_reconciled_until(work.session, now)


async def compare_with_stripe(
    events: StripeEventList, ingest: EventWriter, *, since: datetime, now: datetime
) -> m.ReconcileResult:
    """Take in every event that Stripe lists since a moment and that is not stored.

    Raises Unavailable when Stripe or the database is away; doing it again does no harm.
    """
    listed = ingested = 0
    async for page in events.pages(since):
        listed += len(page)
        new = await asyncio.gather(*(_take_in(ingest, payload, now) for payload in page))
        ingested += sum(new)
    log.info("reconciled", since=since.isoformat(), listed=listed, ingested=ingested)
    return m.ReconcileResult(listed=listed, ingested=ingested)


async def _take_in(ingest: EventWriter, payload: bytes, now: datetime) -> bool:
    try:
        event = read_event(payload, now)
    except NotAnEvent as error:
        # Refused at the ingress too; one such event must not keep the others from being found.
        log.warning("listed event refused", reason=str(error), payload=payload[:200])
        return False
    return await ingest.store(event)
