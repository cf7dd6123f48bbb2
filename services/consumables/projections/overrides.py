"""What overrides of a customer's features give is granted like what a plan gives; what they take away is not.

An override stands among the subscriptions that are known, with terms and an allotment of its own, so that
units come, move with a ceiling and are never granted twice by the same rules. It goes by the rhythm of the
plan that gives the feature, keeps that rhythm when the plan has ended, and grants once where there was none.
Everything that concerns one customer's overrides takes its turn.
"""

from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.consumables.domain.grant_cycles import cycle_at
from services.consumables.domain.overrides import FAR, STATUS, giving, override_id, taken_away
from services.consumables.projections.entities import allot, look_again, overrides_of, take_turn
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

TAKE_AWAY = """
    UPDATE consumables.terms SET offered = sold AND feature <> ALL(%(taken)s)
    FROM consumables.known_subscriptions AS known
    WHERE known.customer = %(customer)s AND status <> %(override)s AND ended_at IS NULL
      AND terms.subscription_id = known.subscription_id AND reach = 'own'
      AND offered <> (sold AND feature <> ALL(%(taken)s))
    RETURNING terms.subscription_id, slot
"""
SELECT_RHYTHM = """
    SELECT every, anchor FROM consumables.terms JOIN consumables.known_subscriptions USING (subscription_id)
    WHERE customer = %s AND feature = %s AND status <> %s AND ended_at IS NULL AND anchor IS NOT NULL
      AND reach = 'own' AND sold AND every IS NOT NULL
    ORDER BY anchor, subscription_id, slot LIMIT 1
"""
"""Of several plans that give the feature, the one that began first."""


class Rhythm(NamedTuple):
    """When units come, and from where that is counted."""

    every: Interval | None
    anchor: datetime


class Said(NamedTuple):
    """What the terms of an override say."""

    kind: str | None = None
    quantity: int | None = None
    offered: bool = False


async def know_customer(work: UnitOfWork, told: CustomerSnapshot) -> bool:
    """Take note of a customer's overrides, and of what follows; whether something may be due for that."""
    await take_turn(work, [told.token])
    before = await overrides_of(work, told.token)
    overrides = [one.model_dump(mode="json") for one in told.overrides]
    is_news = await keep_newest(
        work, KnownCustomerRow, customer=told.token, version=told.version, overrides=overrides
    )
    if not is_news or told.overrides == before:
        return False
    values = {"customer": told.token, "taken": taken_away(told.overrides), "override": STATUS}
    cursor = await work.driver.execute(TAKE_AWAY, values)
    for subscription_id, slot in await cursor.fetchall():
        await allot(work, [subscription_id], slots=[slot])
        await look_again(work, subscription_id, [slot])
    given = giving(told.overrides)
    for override in given.values():
        await _give(work, told.token, override, work.now)
    for feature in sorted(giving(before).keys() - given.keys()):
        await _end(work, override_id(told.token, feature))
    return True


async def follow_rhythm(work: UnitOfWork, customer: str, at: datetime) -> list[str]:
    """Have what overrides give come with what the customer's plans give now; the ids of those overrides."""
    given = giving(await overrides_of(work, customer))
    return [
        override_id(customer, one.feature) for one in given.values() if await _give(work, customer, one, at)
    ]


async def _give(work: UnitOfWork, customer: str, override: OverrideSnapshot, at: datetime) -> bool:
    """Have coming what an override gives; whether that is news."""
    subscription_id, slot = override_id(customer, override.feature), f"{override.feature}.own"
    before, says = await _known(work, subscription_id, slot)
    rhythm = await _rhythm(work, customer, override, before or Rhythm(None, at))
    if rhythm == before and says == Said(override.kind, override.quantity, offered=True):
        return False
    await _write_subscription(work, subscription_id, customer, rhythm.anchor)
    await _write_terms(work, subscription_id, slot, override, rhythm.every)
    # What was granted once, by an override that is over, is not of a cycle that runs.
    if before is not None and rhythm != before and (before.every is not None or says.offered):
        await _carry_over(work, subscription_id, before, rhythm, at)
    await look_again(work, subscription_id, None)
    await allot(work, [subscription_id])
    return True


async def _carry_over(
    work: UnitOfWork, subscription_id: str, before: Rhythm, rhythm: Rhythm, at: datetime
) -> None:
    """Let what was granted in the cycle that runs count in the one that takes its place."""
    running = cycle_at(before.anchor, before.every, at)
    cycle = cycle_at(rhythm.anchor, rhythm.every, at)
    await work.session.execute(
        sa.update(AllotmentRow)
        .where(AllotmentRow.subscription_id == subscription_id, AllotmentRow.cycle_start == running.start)
        .values(cycle_number=cycle.number, cycle_start=cycle.start)
    )


async def _known(work: UnitOfWork, subscription_id: str, slot: str) -> tuple[Rhythm | None, Said]:
    """How the override there is, or the one there was, comes and what it says."""
    query = sa.select(
        TermsRow.every, KnownSubscriptionRow.anchor, TermsRow.kind, TermsRow.quantity, TermsRow.offered
    )
    found = await work.session.execute(
        query.join(
            KnownSubscriptionRow, KnownSubscriptionRow.subscription_id == TermsRow.subscription_id
        ).where(TermsRow.subscription_id == subscription_id, TermsRow.slot == slot)
    )
    row = found.one_or_none()
    return (Rhythm._make(row[:2]), Said._make(row[2:])) if row is not None else (None, Said())


async def _rhythm(work: UnitOfWork, customer: str, override: OverrideSnapshot, kept: Rhythm) -> Rhythm:
    if override.kind != "consumable":
        return Rhythm(None, kept.anchor)
    cursor = await work.driver.execute(SELECT_RHYTHM, (customer, override.feature, STATUS))
    row = await cursor.fetchone()
    return Rhythm._make(row) if row is not None else kept


async def _write_subscription(
    work: UnitOfWork, subscription_id: str, customer: str, anchor: datetime
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
        period_end=FAR,
        anchor=anchor,
        ended_at=None,
    )
    await work.session.execute(
        statement.on_conflict_do_update(
            index_elements=["subscription_id"], set_={"anchor": anchor, "period_start": anchor}
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


async def _end(work: UnitOfWork, subscription_id: str) -> None:
    await work.session.execute(
        sa.update(TermsRow)
        .where(TermsRow.subscription_id == subscription_id)
        .values(sold=False, offered=False)
    )
    await look_again(work, subscription_id, None)
