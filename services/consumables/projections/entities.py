"""Projections of features, subscriptions, teams and seats, and the allotments that follow from them.

Events of one subscription are serialized by a lock. Otherwise concurrent events of a seat and of its
subscription could each miss the other's row.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.consumables.domain.allotments import ENDED, GRANTING, Terms, terms_of
from services.consumables.domain.grant_cycles import anchor_of
from services.consumables.domain.overage import units_of_cap
from services.consumables.domain.overrides import revoked_features
from services.consumables.domain.term_changes import bought_products, offered_slots, term_change
from services.consumables.service import service
from services.consumables.tables.projections import (
    AllotmentRow,
    KnownCustomerRow,
    KnownFeatureRow,
    KnownSeatRow,
    KnownSubscriptionRow,
    KnownTeamRow,
    TermsRow,
)
from shared.messaging.feed_consumer import keep_newest, keep_newest_of
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages.catalog import FeatureEvent
from tallystick.messages.seats import SeatSnapshot, TeamSnapshot
from tallystick.messages.subscriptions import OverrideSnapshot, SubscriptionItem, SubscriptionSnapshot

PAID = ("active", "past_due")
"""Statuses of subscriptions whose running period is or will be paid."""
DUE_NOW = datetime(1970, 1, 1, tzinfo=UTC)
"""The `next_at` of allotments that are due now; it sorts before every other one."""

LOCK_SUBSCRIPTIONS = (
    "SELECT pg_advisory_xact_lock(hashtextextended(id, 5)) FROM unnest(%s::text[]) AS id ORDER BY id"
)

REACHED = """
        SELECT subscription_id, 'own' AS reach, 'customer:' || customer AS account, 1 AS multiplier,
               false AS prorated
        FROM consumables.known_subscriptions WHERE subscription_id = ANY(%(subscriptions)s)
        UNION ALL
        SELECT subscription_id, 'pool', 'team:' || team_id, 1, false
        FROM consumables.known_teams WHERE subscription_id = ANY(%(subscriptions)s) AND NOT closed
        UNION ALL
        SELECT subscription_id, 'seat', 'seat:' || seat_id, multiplier, prorated
        FROM consumables.known_seats
        WHERE subscription_id = ANY(%(subscriptions)s) AND status = 'claimed'
          AND (%(seats)s::text[] IS NULL OR seat_id = ANY(%(seats)s))
"""
"""The accounts that a subscription's terms of each reach grant to."""

ALLOT = f"""
    INSERT INTO consumables.allotments AS old
        (subscription_id, slot, account, feature, multiplier, prorated, grant_ids, next_at, closed)
    SELECT terms.subscription_id, terms.slot, reached.account, terms.feature, reached.multiplier,
           reached.prorated, '{{}}', %(at_once)s, false
    FROM consumables.terms
    JOIN ({REACHED}
    ) AS reached USING (subscription_id, reach)
    WHERE terms.offered AND (%(slots)s::text[] IS NULL OR terms.slot = ANY(%(slots)s))
    ON CONFLICT (subscription_id, slot, account) DO UPDATE
        SET multiplier = excluded.multiplier, prorated = excluded.prorated, next_at = %(at_once)s
        WHERE old.multiplier <> excluded.multiplier AND NOT old.closed
"""  # noqa: S608 - our own names
"""Adds an allotment for every account that the terms of a subscription reach, and makes the allotments of
claimed seats with another multiplier due now."""


@service.event(FeatureEvent, name="note_feature")
async def note_feature(work: UnitOfWork, event: FeatureEvent) -> None:
    """Update the projection of a catalog feature."""
    feature = event.feature
    price, overage = feature.unit_price, feature.overage
    await keep_newest(
        work,
        KnownFeatureRow,
        code=feature.code,
        version=feature.version,
        name=feature.name,
        kind=feature.kind,
        unit_amount=price.amount if price else None,
        currency=price.currency if price else None,
        meter=feature.meter,
        archived=feature.archived,
        overage_amount=overage.unit_price.amount if overage else None,
        overage_currency=overage.unit_price.currency if overage else None,
        overage_cap=units_of_cap(overage.cap, overage.unit_price) if overage else None,
    )


async def project_subscription(work: UnitOfWork, snapshot: SubscriptionSnapshot) -> None:
    """Update the projection of a subscription, its terms and their allotments."""
    await lock_subscriptions(work, [snapshot.subscription_id, snapshot.customer.token])
    known = await work.session.get(KnownSubscriptionRow, snapshot.subscription_id)
    previous_anchor, previous_bought = (known.anchor, known.bought) if known else (None, None)
    previous_end, ends_at = (known.ends_at if known else None), snapshot.cancel_at
    start, end = snapshot.current_period_start, snapshot.current_period_end
    anchor, bought = next_anchor(known, start, end, snapshot.items), bought_products(snapshot.items)
    has_ended = snapshot.status in ENDED
    is_newer = await keep_newest(
        work,
        KnownSubscriptionRow,
        subscription_id=snapshot.subscription_id,
        version=snapshot.version,
        customer=snapshot.customer.token,
        product=next((item.product for item in snapshot.items), None),
        bought=bought,
        status=snapshot.status,
        grants=snapshot.status in GRANTING and not snapshot.restricted,
        period_start=start,
        period_end=end,
        anchor=anchor,
        ended_at=(snapshot.ended_at or work.now) if has_ended else None,
        grace_until=snapshot.grace_until if snapshot.status == "past_due" else None,
        ends_at=ends_at,
        cut_at=cut_at(known, snapshot.status, start),
    )
    if not is_newer:
        return
    if not has_ended:
        slots = await _write_terms(work, snapshot, has_new_products=bought != previous_bought)
        await mark_due(work, snapshot.subscription_id, slots)
        await allot(work, [snapshot.subscription_id], slots=slots)
    if has_ended or anchor != previous_anchor or ends_at != previous_end:
        await mark_due(work, snapshot.subscription_id, None)


async def overrides_of(work: UnitOfWork, customer: str) -> list[OverrideSnapshot]:
    """Return the overrides in force for a customer, from the customer's projection."""
    query = sa.select(KnownCustomerRow.overrides).where(KnownCustomerRow.customer == customer)
    found = await work.session.scalar(query)
    return [OverrideSnapshot.model_validate(override, strict=False) for override in found or ()]


async def project_team(work: UnitOfWork, snapshot: TeamSnapshot) -> bool:
    """Update the projection of a team; return whether the snapshot was newer than the known row."""
    await lock_subscriptions(work, [snapshot.subscription_id])
    is_newer = await keep_newest(
        work,
        KnownTeamRow,
        team_id=snapshot.team_id,
        version=snapshot.version,
        subscription_id=snapshot.subscription_id,
        customer=snapshot.customer.token,
        billing_manager=snapshot.billing_manager.token,
        strategy=snapshot.strategy,
        suspended=snapshot.suspended,
        closed=snapshot.status == "closed",
    )
    if is_newer and snapshot.status == "open" and snapshot.strategy == "per_team":
        await allot(work, [snapshot.subscription_id], seats=[])
    return is_newer


async def project_seats(work: UnitOfWork, snapshots: Sequence[SeatSnapshot]) -> list[dict[str, Any]]:
    """Update the projections of seats, and add allotments for claimed ones; return the rows that changed."""
    await lock_subscriptions(work, {seat.subscription_id for seat in snapshots})
    changed = await keep_newest_of(
        work,
        KnownSeatRow,
        [
            {
                "seat_id": seat.seat_id,
                "version": seat.version,
                "team_id": seat.team_id,
                "subscription_id": seat.subscription_id,
                "status": seat.status,
                "member": seat.member.token if seat.member else None,
                "multiplier": seat.multiplier,
                "prorated": seat.prorated,
            }
            for seat in snapshots
        ],
    )
    claimed = [seat for seat in changed if seat["status"] == "claimed"]
    if claimed:
        subscriptions = {seat["subscription_id"] for seat in claimed}
        await allot(work, subscriptions, seats=[seat["seat_id"] for seat in claimed])
    return changed


async def lock_subscriptions(work: UnitOfWork, ids: Iterable[str]) -> None:
    """Lock the terms and allotments of subscriptions, or of customers' overrides, for this transaction."""
    await work.driver.execute(LOCK_SUBSCRIPTIONS, (sorted(set(ids)),))


async def allot(
    work: UnitOfWork,
    subscription_ids: Iterable[str],
    *,
    slots: Sequence[str] | None = None,
    seats: Sequence[str] | None = None,
) -> None:
    """Add allotments for the accounts that subscriptions reach, optionally of some slots or seats only."""
    values = {"subscriptions": list(subscription_ids), "slots": slots, "seats": seats, "at_once": DUE_NOW}
    await work.driver.execute(ALLOT, {**values, "slots": _as_list(slots), "seats": _as_list(seats)})


def _as_list(values: Sequence[str] | None) -> list[str] | None:
    return None if values is None else list(values)


def next_anchor(
    known: KnownSubscriptionRow | None,
    start: datetime | None,
    end: datetime | None,
    items: Iterable[SubscriptionItem],
) -> datetime | None:
    """Return the anchor of a subscription's cycles after a change to these items and this billing period."""
    anchor, latest = (known.anchor, known.period_start) if known else (None, None)
    if start is None or end is None or (latest is not None and start < latest):
        return anchor
    interval = next((item.interval for item in items if item.interval is not None), None)
    return anchor_of(anchor, start, end, interval)


def cut_at(known: KnownSubscriptionRow | None, status: str, start: datetime | None) -> datetime | None:
    """Return when a period begins that cuts the known one short; None: it follows, or nothing was paid.

    A trial is not paid for, and who resumes a paused subscription pays from then on.
    """
    if known is None or start is None or known.period_start is None or known.period_end is None:
        return None
    if start == known.period_start:
        return known.cut_at
    is_paid = known.status in PAID and status in PAID
    return start if is_paid and known.period_start < start < known.period_end else None


async def _write_terms(
    work: UnitOfWork, snapshot: SubscriptionSnapshot, *, has_new_products: bool
) -> list[str]:
    """Write the terms of a subscription; return the slots whose allotments are due because of that."""
    new = terms_of(snapshot.items)
    offered = offered_slots(new, revoked_features(await overrides_of(work, snapshot.customer.token)))
    before = await stored_terms(work, snapshot.subscription_id)
    change = term_change(before, new, offered, has_new_products=has_new_products)
    if change.changed:
        statement = insert(TermsRow).values(
            [
                _columns(snapshot.subscription_id, slot, new[slot], is_offered=slot in offered)
                for slot in change.changed
            ]
        )
        changes = {name: statement.excluded[name] for name in _CHANGING_COLUMNS}
        await work.session.execute(
            statement.on_conflict_do_update(index_elements=["subscription_id", "slot"], set_=changes)
        )
    for slot in change.dropped:
        before[slot].sold = before[slot].offered = False
    await work.flush()
    return change.due


async def stored_terms(work: UnitOfWork, subscription_id: str) -> dict[str, TermsRow]:
    """Return the terms that a subscription has had so far, by slot."""
    rows = await work.session.scalars(sa.select(TermsRow).where(TermsRow.subscription_id == subscription_id))
    return {row.slot: row for row in rows}


_CHANGING_COLUMNS = ("quantity", "rollover", "kind", "sold", "offered")
"""The columns of terms that may change within a slot."""


def _columns(subscription_id: str, slot: str, terms: Terms, *, is_offered: bool) -> dict[str, Any]:
    return {
        "subscription_id": subscription_id,
        "slot": slot,
        "feature": terms.feature,
        "kind": terms.kind,
        "reach": terms.reach,
        "every": terms.every,
        "quantity": terms.quantity,
        "rollover": terms.rollover,
        "sold": True,
        "offered": is_offered,
    }


async def mark_due(work: UnitOfWork, subscription_id: str, slots: list[str] | None) -> None:
    """Mark the open allotments of a subscription as due now, in some slots or (None) in all."""
    conditions = [AllotmentRow.subscription_id == subscription_id, AllotmentRow.closed.is_(False)]
    if slots is not None:
        conditions.append(AllotmentRow.slot.in_(slots))
    await work.session.execute(sa.update(AllotmentRow).where(*conditions).values(next_at=DUE_NOW))
