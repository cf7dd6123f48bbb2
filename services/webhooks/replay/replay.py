"""Replay: stored events are published again in batches, so that a span of any length holds up nobody."""

import hashlib
from collections.abc import Sequence

import sqlalchemy as sa
from pydantic import BaseModel

from services.webhooks.event_store.repository import Place, lock_replay, replay_batch, unknown_ids
from services.webhooks.service import service
from services.webhooks.tables import StripeEvent
from shared.errors import Rejected
from shared.messaging.external_command import ExternalCommandSteps
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import webhooks as m
from tallystick.messages.base import Instant

BATCH_EVENTS = 100
"""In one transaction: at most 50 MB in memory at 512 KiB an event, ordinarily a quarter of a megabyte."""
MARK_CHARACTERS = 16
"""Of the command id's hash, in the message ids: enough that two replays never share one."""


class ReplayPlan(BaseModel):
    """Which events a replay sends again: the ones named, or those received in a span."""

    event_ids: list[str] | None
    since: Instant | None
    until: Instant | None
    types: list[str] | None

    def conditions(self) -> Sequence[sa.ColumnElement[bool]]:
        """What a chosen event's row looks like."""
        if self.event_ids is not None:
            return [StripeEvent.event_id.in_(self.event_ids)]
        conditions = [StripeEvent.received_at >= self.since, StripeEvent.received_at < self.until]
        if self.types is not None:
            conditions.append(StripeEvent.type.in_(self.types))
        return conditions


@service.external_command(m.Replay)
async def replay(steps: ExternalCommandSteps, command: m.Replay) -> m.ReplayResult:
    """Publish stored events again."""
    plan = await steps.intend(lambda work: plan_replay(work, command), ReplayPlan)
    return m.ReplayResult(replayed=await publish_again(steps, plan))


async def plan_replay(work: UnitOfWork, command: m.Replay) -> ReplayPlan:
    """Decide what to send; raises Rejected `not_found` when a named event is not stored.

    A span ends at the present at the latest: the replay ends, and what comes in later is published anyway.
    """
    if command.event_ids is not None:
        missing = await unknown_ids(work.session, command.event_ids)
        if missing:
            raise Rejected("not_found", "Some of these events are not stored.", {"event_ids": list(missing)})
    until = None if command.until is None else min(command.until, work.now)
    return ReplayPlan(event_ids=command.event_ids, since=command.since, until=until, types=command.types)


async def publish_again(steps: ExternalCommandSteps, plan: ReplayPlan) -> int:
    """Publish all that the plan names; how many. Goes on where an earlier run was interrupted."""
    while True:
        replayed, is_done = await _one_batch(steps, plan)
        if is_done:
            return replayed


async def _one_batch(steps: ExternalCommandSteps, plan: ReplayPlan) -> tuple[int, bool]:
    command_id = steps.command.command_id
    mark = hashlib.sha256(command_id.encode()).hexdigest()[:MARK_CHARACTERS]
    async with steps.transactions.begin(caused_by=command_id, now=steps.received_at) as work:
        progress = await lock_replay(work.session, command_id)
        after = None
        if progress.after_received_at is not None and progress.after_event_id is not None:
            after = Place(progress.after_received_at, progress.after_event_id)
        places = await replay_batch(work, plan.conditions(), after=after, limit=BATCH_EVENTS, mark=mark)
        if places:
            progress.after_received_at = places[-1].received_at
            progress.after_event_id = places[-1].event_id
            progress.replayed += len(places)
        return progress.replayed, len(places) < BATCH_EVENTS
