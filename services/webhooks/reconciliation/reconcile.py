"""Reconciliation: events that Stripe lists and that never arrived are stored."""

import asyncio
from datetime import datetime

import structlog

from services.webhooks.domain.stripe_event import InvalidEvent, reconcile_since
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
    steps: ExternalCommandSteps, command: m.Reconcile, events: StripeEventList, event_writer: EventWriter
) -> m.ReconcileResult:
    """Store the events that Stripe lists and that never arrived.

    Raises Rejected `payments_not_configured`, Unavailable if Stripe or the database cannot be reached.
    """
    events.require_configured()
    return await compare_with_stripe(events, event_writer, since=command.since, now=steps.received_at)


@service.job("reconcile")
async def reconcile_due(
    transactions: Transactions, at: datetime, events: StripeEventList, event_writer: EventWriter
) -> None:
    """Compare with Stripe's list since the last run; does nothing if payments are not configured."""
    if not events.configured:
        return
    # A tick may have any time, but Stripe's list ends at the present.
    now = min(at, utc_now())
    caused_by = tick_cause("webhooks", "reconcile", at)
    async with transactions.begin(caused_by=caused_by, now=now) as work:
        since = reconcile_since(await repository.reconciled_until(work.session), now)
    await compare_with_stripe(events, event_writer, since=since, now=now)
    async with transactions.begin(caused_by=caused_by, now=now) as work:
        await repository.save_reconciled_until(work.session, now)


async def compare_with_stripe(
    events: StripeEventList, event_writer: EventWriter, *, since: datetime, now: datetime
) -> m.ReconcileResult:
    """Store all events that Stripe lists since a time and that are not stored yet.

    Raises Unavailable if Stripe or the database cannot be reached; it is safe to run again.
    """
    listed = ingested = 0
    async for page in events.pages(since):
        listed += len(page)
        new = await asyncio.gather(*(_store_listed(event_writer, payload, now) for payload in page))
        ingested += sum(new)
    log.info("reconciled", since=since.isoformat(), listed=listed, ingested=ingested)
    return m.ReconcileResult(listed=listed, ingested=ingested)


async def _store_listed(event_writer: EventWriter, payload: bytes, now: datetime) -> bool:
    try:
        event = read_event(payload, now)
    except InvalidEvent as error:
        # The ingress rejects such an event too; it must not prevent the others from being stored.
        log.warning("listed event refused", reason=str(error), payload=payload[:200])
        return False
    return await event_writer.store(event)
