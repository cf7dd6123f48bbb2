"""What this service answers to: a table of contents."""

from datetime import datetime
from typing import TypeVar

import orjson

from services.webhooks.domain.stripe_event import after_report, reconcile_since
from services.webhooks.event_store import repository
from services.webhooks.event_store.event_writer import Ingest
from services.webhooks.event_store.pagination import decode_cursor, encode_cursor
from services.webhooks.event_store.repository import Place
from services.webhooks.ingress.nats_ingress import NatsIngress
from services.webhooks.reconciliation.reconcile import compare_with_stripe
from services.webhooks.reconciliation.stripe_event_list import StripeEventList
from services.webhooks.replay.replay import ReplayPlan, plan_replay, publish_again
from services.webhooks.service import service
from shared.clock import utc_now
from shared.messaging.external_command import Steps
from shared.messaging.redelivery import Incoming
from shared.persistence.unit_of_work import Rejected, Transactions, Work
from tallystick.messages import webhooks as m
from tallystick.subjects import WEBHOOKS_STREAM

Result = TypeVar("Result", m.ReplayResult, m.ReconcileResult)


@service.external_command(m.Replay)
async def replay(steps: Steps, command: m.Replay) -> m.ReplayResult:
    """Publish stored events again."""
    plan = await steps.intend(lambda work: plan_replay(work, command), ReplayPlan)
    result = m.ReplayResult(replayed=await publish_again(steps, plan))
    return await steps.record(lambda _: _done(result))


@service.external_command(m.Reconcile)
async def reconcile(
    steps: Steps, command: m.Reconcile, events: StripeEventList, ingest: Ingest
) -> m.ReconcileResult:
    """Take in what Stripe lists and we never heard of."""
    events.require()
    result = await compare_with_stripe(events, ingest, since=command.since, now=steps.received_at)
    return await steps.record(lambda _: _done(result))


@service.command(m.RecordOutcome)
async def record_outcome(work: Work, command: m.RecordOutcome) -> m.OutcomeRecorded:
    """Note how it went with an event."""
    standing = await repository.lock_standing(work.session, command.event_id)
    if standing is None:
        raise _not_found(command.event_id)
    changed = after_report(standing, command.status, attempt=command.attempt, error=command.error)
    if changed is not None:
        await repository.save_standing(work.session, command.event_id, changed)
    return m.OutcomeRecorded(event_id=command.event_id, status=(changed or standing).status)


@service.question(m.GetEvent)
async def get_event(work: Work, question: m.GetEvent) -> m.EventFound:
    """One stored event with its payload."""
    found = await repository.find_event(work.session, question.event_id)
    if found is None:
        raise _not_found(question.event_id)
    event, payload = found
    with_payload = m.StoredEventWithPayload(**event.model_dump(), payload=orjson.loads(payload))
    return m.EventFound(event=with_payload)


@service.question(m.ListEvents)
async def list_events(work: Work, question: m.ListEvents) -> m.EventPage:
    """Stored events, newest first."""
    items = await repository.list_events(
        work.session,
        event_type=question.type,
        status=question.status,
        since=question.since,
        before=decode_cursor(question.cursor) if question.cursor is not None else None,
        limit=question.limit + 1,
    )
    page = items[: question.limit]
    has_more = len(items) > len(page)
    last = Place(page[-1].received_at, page[-1].event_id) if has_more else None
    return m.EventPage(items=page, next_cursor=encode_cursor(last) if last else None)


@service.follow("webhooks-ingress", stream=WEBHOOKS_STREAM, name="nats_ingress")
async def nats_ingress(transactions: Transactions, incoming: Incoming, ingress: NatsIngress) -> None:
    """Take in an event that came over NATS."""
    await ingress.take_in(incoming)


@service.job("reconcile")
async def reconcile_due(
    transactions: Transactions, at: datetime, events: StripeEventList, ingest: Ingest
) -> None:
    """Compare with Stripe's list since the last time; nothing where payments are off."""
    if not events.configured:
        return
    # A tick may carry any time, but Stripe's list ends at the present.
    now = min(at, utc_now())
    caused_by = f"reconcile {at.isoformat()}"
    async with transactions.begin(caused_by=caused_by, now=now) as work:
        since = reconcile_since(await repository.reconciled_until(work.session), now)
    await compare_with_stripe(events, ingest, since=since, now=now)
    async with transactions.begin(caused_by=caused_by, now=now) as work:
        await repository.save_reconciled_until(work.session, now)


async def _done(result: Result) -> Result:
    return result


def _not_found(event_id: str) -> Rejected:
    return Rejected("not_found", "There is no such event.", {"event_id": event_id})
