"""Ends of plans: the units of a plan that ends before its cycle does expire with the plan, by the clock."""

from services.consumables.domain.balance import expire_at
from services.consumables.domain.grant_cycles import cycle_at
from services.consumables.grants.allotments import Allotment, AllotmentUpdate
from services.consumables.ledger.repository import LedgerBatch


def follow_plan_end(batch: LedgerBatch, row: Allotment, update: AllotmentUpdate) -> None:
    """Let the grants of a plan's running cycle expire with the plan, or with the cycle again.

    They stay the same grants, so that a cancellation that is undone changes nothing about their units.
    """
    if row.is_override or not row.offered or row.ended_at is not None or update.cycle is None:
        return
    cycle = cycle_at(row.anchor, row.every, update.cycle.start)
    if cycle.start != update.cycle.start:
        # The cycles are counted from another anchor since then.
        return
    for grant in (batch.grants[grant_id] for grant_id in update.grant_ids if grant_id in batch.grants):
        if not grant.has_ended:
            expire_at(grant, row.grant_end(cycle))
