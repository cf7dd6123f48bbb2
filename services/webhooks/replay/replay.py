"""Replay: stored events are published again in batches, so that a long period does not block others."""

import hashlib
from collections.abc import Sequence

import sqlalchemy as sa
from pydantic import BaseModel

from services.webhooks.event_store.repository import (
    EventCursor,
    lock_replay,
    missing_event_ids,
    republish_batch,
)
from services.webhooks.service import service
from services.webhooks.tables import StripeEvent
from shared.errors import Rejected
from shared.messaging.external_command import ExternalCommandSteps
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import webhooks as m
from tallystick.messages.base import Instant

BATCH_EVENTS = 100
"""Events per transaction: at most 50 MB in memory at 512 KiB each, usually about 250 KB."""
SUFFIX_CHARACTERS = 16
"""Characters of the command id's hash in message ids; enough to tell replays apart."""


class ReplayPlan(BaseModel):
    """The events that a replay publishes: those with the given ids, or those received in a period."""

    event_ids: list[str] | None
    since: Instant | None
    until: Instant | None
    types: list[str] | None

    def conditions(self) -> Sequence[sa.ColumnElement[bool]]:
        """Return the conditions on the rows of these events."""
        if self.event_ids is not None:
            return [StripeEvent.event_id.in_(self.event_ids)]
        conditions = [StripeEvent.received_at >= self.since, StripeEvent.received_at < self.until]
        if self.types is not None:
            conditions.append(StripeEvent.type.in_(self.types))
        return conditions


@service.external_command(m.Replay)
async def replay(steps: ExternalCommandSteps, command: m.Replay) -> m.ReplayResult:
    """Publish stored events again; raise Rejected `not_found` if one of the given ids is not stored."""
    plan = await steps.intend(lambda work: plan_replay(work, command), ReplayPlan)
    return m.ReplayResult(replayed=await republish(steps, plan))


async def plan_replay(work: UnitOfWork, command: m.Replay) -> ReplayPlan:
    """Decide which events to publish; raise Rejected `not_found` if one of the given ids is not stored.

    A period ends at the present at the latest, as later events are published when they arrive.
    """
    if command.event_ids is not None:
        missing = await missing_event_ids(work.session, command.event_ids)
        if missing:
            raise Rejected("not_found", "Some of these events are not stored.", {"event_ids": list(missing)})
    until = None if command.until is None else min(command.until, work.now)
    return ReplayPlan(event_ids=command.event_ids, since=command.since, until=until, types=command.types)


async def republish(steps: ExternalCommandSteps, plan: ReplayPlan) -> int:
    """Publish the events of a plan from where an earlier run stopped; return how many in total."""
    while True:
        replayed, is_done = await _republish_batch(steps, plan)
        if is_done:
            return replayed


async def _republish_batch(steps: ExternalCommandSteps, plan: ReplayPlan) -> tuple[int, bool]:
    command_id = steps.command.command_id
    message_id_suffix = hashlib.sha256(command_id.encode()).hexdigest()[:SUFFIX_CHARACTERS]
    async with steps.transactions.begin(caused_by=command_id, now=steps.received_at) as work:
        progress = await lock_replay(work.session, command_id)
        after = None
        if progress.after_received_at is not None and progress.after_event_id is not None:
            after = EventCursor(progress.after_received_at, progress.after_event_id)
        published = await republish_batch(
            work, plan.conditions(), after=after, limit=BATCH_EVENTS, message_id_suffix=message_id_suffix
        )
        if published:
            progress.after_received_at = published[-1].received_at
            progress.after_event_id = published[-1].event_id
            progress.replayed += len(published)
        return progress.replayed, len(published) < BATCH_EVENTS
