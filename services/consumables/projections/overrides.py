"""Projection of a customer's overrides: granting ones are allotted like plans, revoking ones stop grants.

A granting override has a row in `known_subscriptions`, with terms and an allotment of its own, so that the
rules of plans apply to its grants, cycles and ceilings. It uses the cycles of the plan that grants the
feature, keeps them when the plan has ended, and grants once if there was no plan. Changes of one customer's
overrides are serialized by a lock.
"""

from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.consumables.domain.grant_cycles import cycle_at
from services.consumables.domain.overrides import (
    NO_END,
    STATUS,
    granting_overrides,
    override_id,
    revoked_features,
)
from services.consumables.projections.entities import allot, lock_subscriptions, mark_due, overrides_of
from services.consumables.tables.projections import (
    AllotmentRow,
    KnownCustomerRow,
    KnownSubscriptionRow,
    TermsRow,
)
from shared.messaging.feed_consumer import keep_newest
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages.catalog import Interval
from tallystick.messages.subscriptions import CustomerSnapshot, OverrideSnapshot

UPDATE_OFFERED = """
    UPDATE consumables.terms SET offered = sold AND feature <> ALL(%(taken)s)
    FROM consumables.known_subscriptions AS known
    WHERE known.customer = %(customer)s AND status <> %(override)s AND ended_at IS NULL
      AND terms.subscription_id = known.subscription_id AND reach = 'own'
      AND offered <> (sold AND feature <> ALL(%(taken)s))
    RETURNING terms.subscription_id, slot
"""
SELECT_PLAN_SCHEDULE = """
    SELECT every, anchor FROM consumables.terms JOIN consumables.known_subscriptions USING (subscription_id)
    WHERE customer = %s AND feature = %s AND status <> %s AND ended_at IS NULL AND anchor IS NOT NULL
      AND reach = 'own' AND sold AND every IS NOT NULL
    ORDER BY anchor, subscription_id, slot LIMIT 1
"""
"""The cycles of the plan that grants the feature; of several plans, of the one with the oldest anchor."""


class GrantSchedule(NamedTuple):
    """The interval between grants, and the anchor from which cycles are counted."""

    every: Interval | None
    anchor: datetime


class OverrideTerms(NamedTuple):
    """The stored terms of an override and their end; the defaults stand for none."""

    kind: str | None = None
    quantity: int | None = None
    offered: bool = False
    until: datetime = NO_END


async def project_customer(work: UnitOfWork, snapshot: CustomerSnapshot) -> bool:
    """Update the projection of a customer's overrides, with terms and allotments; return if it changed."""
    await lock_subscriptions(work, [snapshot.token])
    before = await overrides_of(work, snapshot.token)
    overrides = [override.model_dump(mode="json") for override in snapshot.overrides]
    is_newer = await keep_newest(
        work, KnownCustomerRow, customer=snapshot.token, version=snapshot.version, overrides=overrides
    )
    if not is_newer or snapshot.overrides == before:
        return False
    values = {"customer": snapshot.token, "taken": revoked_features(snapshot.overrides), "override": STATUS}
    cursor = await work.driver.execute(UPDATE_OFFERED, values)
    for subscription_id, slot in await cursor.fetchall():
        await allot(work, [subscription_id], slots=[slot])
        await mark_due(work, subscription_id, [slot])
    granting = granting_overrides(snapshot.overrides)
    for override in granting.values():
        await _grant_override(work, snapshot.token, override, work.now)
    for feature in sorted(granting_overrides(before).keys() - granting.keys()):
        await _end_override(work, override_id(snapshot.token, feature))
    return True


async def follow_plan_cycles(work: UnitOfWork, customer: str, at: datetime) -> list[str]:
    """Adjust the cycles of a customer's overrides to the current plans; return the ids that changed."""
    granting = granting_overrides(await overrides_of(work, customer))
    return [
        override_id(customer, override.feature)
        for override in granting.values()
        if await _grant_override(work, customer, override, at)
    ]


async def _grant_override(work: UnitOfWork, customer: str, override: OverrideSnapshot, at: datetime) -> bool:
    """Write the terms and the allotment of an override; return whether anything changed."""
    subscription_id, slot = override_id(customer, override.feature), f"{override.feature}.own"
    before, terms = await _current_terms(work, subscription_id, slot)
    schedule = await _schedule_of(work, customer, override, before or GrantSchedule(None, at))
    until = override.until or NO_END
    if schedule == before and terms == OverrideTerms(override.kind, override.quantity, True, until):
        return False
    await _write_subscription(work, subscription_id, customer, schedule.anchor, until)
    await _write_terms(work, subscription_id, slot, override, schedule.every)
    # A single grant without cycles, made by an override that has ended, belongs to no running cycle.
    if before is not None and schedule != before and (before.every is not None or terms.offered):
        await _move_running_cycle(work, subscription_id, before, schedule, at)
    await mark_due(work, subscription_id, None)
    await allot(work, [subscription_id])
    return True


async def _move_running_cycle(
    work: UnitOfWork, subscription_id: str, before: GrantSchedule, schedule: GrantSchedule, at: datetime
) -> None:
    """Assign the grants of the running cycle to the running cycle of the new schedule."""
    running = cycle_at(before.anchor, before.every, at)
    cycle = cycle_at(schedule.anchor, schedule.every, at)
    await work.session.execute(
        sa.update(AllotmentRow)
        .where(AllotmentRow.subscription_id == subscription_id, AllotmentRow.cycle_start == running.start)
        .values(cycle_number=cycle.number, cycle_start=cycle.start)
    )


async def _current_terms(
    work: UnitOfWork, subscription_id: str, slot: str
) -> tuple[GrantSchedule | None, OverrideTerms]:
    """Return the stored schedule and terms of an override, also of one that has ended."""
    query = sa.select(
        TermsRow.every,
        KnownSubscriptionRow.anchor,
        TermsRow.kind,
        TermsRow.quantity,
        TermsRow.offered,
        KnownSubscriptionRow.period_end,
    )
    found = await work.session.execute(
        query.join(
            KnownSubscriptionRow, KnownSubscriptionRow.subscription_id == TermsRow.subscription_id
        ).where(TermsRow.subscription_id == subscription_id, TermsRow.slot == slot)
    )
    row = found.one_or_none()
    return (
        (GrantSchedule._make(row[:2]), OverrideTerms._make(row[2:]))
        if row is not None
        else (None, OverrideTerms())
    )


async def _schedule_of(
    work: UnitOfWork, customer: str, override: OverrideSnapshot, kept: GrantSchedule
) -> GrantSchedule:
    if override.kind != "consumable":
        return GrantSchedule(None, kept.anchor)
    cursor = await work.driver.execute(SELECT_PLAN_SCHEDULE, (customer, override.feature, STATUS))
    row = await cursor.fetchone()
    return GrantSchedule._make(row) if row is not None else kept


async def _write_subscription(
    work: UnitOfWork, subscription_id: str, customer: str, anchor: datetime, until: datetime
) -> None:
    statement = insert(KnownSubscriptionRow).values(
        subscription_id=subscription_id,
        version=1,
        customer=customer,
        product=None,
        bought="",
        status=STATUS,
        grants=True,
        period_start=anchor,
        period_end=until,
        anchor=anchor,
        ended_at=None,
    )
    await work.session.execute(
        statement.on_conflict_do_update(
            index_elements=["subscription_id"],
            set_={"anchor": anchor, "period_start": anchor, "period_end": until},
        )
    )


async def _write_terms(
    work: UnitOfWork, subscription_id: str, slot: str, override: OverrideSnapshot, every: Interval | None
) -> None:
    statement = insert(TermsRow).values(
        subscription_id=subscription_id,
        slot=slot,
        feature=override.feature,
        kind=override.kind,
        reach="own",
        every=every,
        quantity=override.quantity,
        rollover=0,
        sold=True,
        offered=True,
    )
    changes = {name: statement.excluded[name] for name in ("kind", "every", "quantity", "sold", "offered")}
    await work.session.execute(
        statement.on_conflict_do_update(index_elements=["subscription_id", "slot"], set_=changes)
    )


async def _end_override(work: UnitOfWork, subscription_id: str) -> None:
    await work.session.execute(
        sa.update(TermsRow)
        .where(TermsRow.subscription_id == subscription_id)
        .values(sold=False, offered=False)
    )
    await mark_due(work, subscription_id, None)
