"""Ends of overrides: their units expire with them, by the clock, and follow an end that is changed."""

from dataclasses import replace
from datetime import datetime

from services.consumables.domain.allotments import PLAN_PRIORITY
from services.consumables.domain.balance import Grant, NewGrant, end_grants
from services.consumables.domain.grant_cycles import Cycle, cycle_at
from services.consumables.grants.allotments import Allotment, AllotmentUpdate, grant_key, grant_source
from services.consumables.ledger.repository import LedgerBatch
from shared.ids import new_id


def move_ends(batch: LedgerBatch, row: Allotment, update: AllotmentUpdate) -> AllotmentUpdate:
    """Grant the unused units of an override's running cycle again where its end has changed."""
    if not row.is_override or not row.offered or update.cycle is None:
        return update
    cycle = cycle_at(row.anchor, row.every, update.cycle.start)
    end = row.grant_end(cycle)
    grants = [batch.grants[grant_id] for grant_id in update.grant_ids]
    moved = [grant for grant in grants if not grant.has_ended and _has_another_end(row, grant, end)]
    new = _with_end(row, moved, cycle, len(update.grant_ids))
    if not new:
        return update
    end_grants(moved)
    added = batch.add_grants(batch.balances[row.account, row.feature], new)
    return replace(update, grant_ids=[*update.grant_ids, *added])


def _has_another_end(row: Allotment, grant: Grant, end: datetime | None) -> bool:
    """Whether the override's end is earlier or later than the grant's.

    Without an end of the override, a grant may outlast its cycle, and ends when the next one is granted.
    """
    if grant.expires_at is None or (end is not None and grant.expires_at > end):
        return row.until is not None
    return end is None or grant.expires_at < end


def _with_end(row: Allotment, moved: list[Grant], cycle: Cycle, number: int) -> list[NewGrant]:
    """Return grants of what is left of others, with the end that the override has now."""
    units = sum(grant.remaining for grant in moved)
    quantities: list[int | None] = [units] if units else []
    if any(grant.quantity is None for grant in moved):
        quantities.append(None)
    source, end = grant_source(row), row.grant_end(cycle)
    return [
        NewGrant(new_id("grant"), quantity, end, PLAN_PRIORITY, source, grant_key(row, cycle, number + place))
        for place, quantity in enumerate(quantities)
    ]
