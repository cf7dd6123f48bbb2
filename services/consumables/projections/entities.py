"""Taking note of other services' entities, and of what follows from them for the accounts they concern.

Everything that concerns one subscription takes its turn, so that an event of a seat and one of its
subscription, heard at the same moment, cannot each miss the other.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.consumables.domain.allotments import ENDED, GRANTING, Terms, terms_of
from services.consumables.domain.grant_cycles import anchor_of
from services.consumables.domain.overrides import taken_away
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
from tallystick.messages.subscriptions import OverrideSnapshot, SubscriptionSnapshot

AT_ONCE = datetime(1970, 1, 1, tzinfo=UTC)
"""`next_at` of what is to be looked at with the next opportunity, before all that waits for its time."""

TAKE_TURN = "SELECT pg_advisory_xact_lock(hashtextextended(id, 5)) FROM unnest(%s::text[]) AS id ORDER BY id"

ALLOT = """
    INSERT INTO consumables.allotments AS old
        (subscription_id, slot, account, feature, multiplier, prorated, grant_ids, next_at, closed)
    SELECT terms.subscription_id, terms.slot, reached.account, terms.feature, reached.multiplier,
           reached.prorated, '{}', %(at_once)s, false
    FROM consumables.terms
    JOIN (
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
    ) AS reached USING (subscription_id, reach)
    WHERE terms.offered AND (%(slots)s::text[] IS NULL OR terms.slot = ANY(%(slots)s))
    ON CONFLICT (subscription_id, slot, account) DO UPDATE
        SET multiplier = excluded.multiplier, prorated = excluded.prorated, next_at = %(at_once)s
        WHERE old.multiplier <> excluded.multiplier AND NOT old.closed
"""
"""Who has something coming: every account that the terms of a subscription reach. A claimed seat whose
multiplier has changed is looked at again."""


@service.event(FeatureEvent, name="note_feature")
async def note_feature(work: UnitOfWork, event: FeatureEvent) -> None:
    """Take note of a feature of the catalog."""
    feature = event.feature
    price = feature.unit_price
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
    )


async def know_subscription(work: UnitOfWork, told: SubscriptionSnapshot) -> None:
    """Take note of a subscription: its period, whether units come, and what it gives to whom."""
    await take_turn(work, [told.subscription_id, told.customer.token])
    known = await work.session.get(KnownSubscriptionRow, told.subscription_id)
    before = (known.anchor, known.bought) if known else (None, None)
    anchor, bought = _anchor(known, told), _bought(told)
    has_ended = told.status in ENDED
    is_news = await keep_newest(
        work,
        KnownSubscriptionRow,
        subscription_id=told.subscription_id,
        version=told.version,
        customer=told.customer.token,
        product=next((item.product for item in told.items), None),
        bought=bought,
        status=told.status,
        grants=told.status in GRANTING and not told.restricted,
        period_start=told.current_period_start,
        period_end=told.current_period_end,
        anchor=anchor,
        ended_at=(told.ended_at or work.now) if has_ended else None,
    )
    if not is_news:
        return
    if not has_ended:
        slots = await _keep_terms(work, told, is_bought_anew=bought != before[1])
        await look_again(work, told.subscription_id, slots)
        await allot(work, [told.subscription_id], slots=slots)
    if has_ended or anchor != before[0]:
        await look_again(work, told.subscription_id, None)


async def overrides_of(work: UnitOfWork, customer: str) -> list[OverrideSnapshot]:
    """The exceptions that are in force for a customer, as far as is known."""
    query = sa.select(KnownCustomerRow.overrides).where(KnownCustomerRow.customer == customer)
    found = await work.session.scalar(query)
    return [OverrideSnapshot.model_validate(one, strict=False) for one in found or ()]


async def know_team(work: UnitOfWork, told: TeamSnapshot) -> bool:
    """Take note of a team; whether it was news."""
    await take_turn(work, [told.subscription_id])
    is_news = await keep_newest(
        work,
        KnownTeamRow,
        team_id=told.team_id,
        version=told.version,
        subscription_id=told.subscription_id,
        customer=told.customer.token,
        billing_manager=told.billing_manager.token,
        strategy=told.strategy,
        suspended=told.suspended,
        closed=told.status == "closed",
    )
    if is_news and told.status == "open" and told.strategy == "per_team":
        await allot(work, [told.subscription_id], seats=[])
    return is_news


async def know_seats(work: UnitOfWork, told: Sequence[SeatSnapshot]) -> list[dict[str, Any]]:
    """Take note of seats; those that were news, as kept. Claimed ones have units coming from now on."""
    await take_turn(work, {seat.subscription_id for seat in told})
    news = await keep_newest_of(
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
            for seat in told
        ],
    )
    claimed = [seat for seat in news if seat["status"] == "claimed"]
    if claimed:
        subscriptions = {seat["subscription_id"] for seat in claimed}
        await allot(work, subscriptions, seats=[seat["seat_id"] for seat in claimed])
    return news


async def take_turn(work: UnitOfWork, ids: Iterable[str]) -> None:
    """Wait until nobody else is at work on what these subscriptions give, or these customers are given."""
    await work.driver.execute(TAKE_TURN, (sorted(set(ids)),))


async def allot(
    work: UnitOfWork,
    subscription_ids: Iterable[str],
    *,
    slots: Sequence[str] | None = None,
    seats: Sequence[str] | None = None,
) -> None:
    """Have units coming to every account that these subscriptions reach, by these slots, of these seats."""
    values = {"subscriptions": list(subscription_ids), "slots": slots, "seats": seats, "at_once": AT_ONCE}
    await work.driver.execute(ALLOT, {**values, "slots": _listed(slots), "seats": _listed(seats)})


def _listed(values: Sequence[str] | None) -> list[str] | None:
    return None if values is None else list(values)


def _anchor(known: KnownSubscriptionRow | None, told: SubscriptionSnapshot) -> datetime | None:
    start, end = told.current_period_start, told.current_period_end
    anchor, latest = (known.anchor, known.period_start) if known else (None, None)
    if start is None or end is None or (latest is not None and start < latest):
        return anchor
    return anchor_of(anchor, start, end)


def _bought(told: SubscriptionSnapshot) -> str:
    """What was bought, as text; as many seats as there are, they bring units when they are claimed."""
    return " ".join(
        sorted(f"{item.product}*{1 if item.seats else item.quantity}" for item in told.items if item.product)
    )


async def _keep_terms(work: UnitOfWork, told: SubscriptionSnapshot, *, is_bought_anew: bool) -> list[str]:
    """Write what a subscription gives now; the slots in which accounts may be due something else for that.

    Where the catalog was edited and the subscription is the same, units follow with their next grant.
    """
    wanted = terms_of(told.items)
    taken = taken_away(await overrides_of(work, told.customer.token))
    kept = {slot for slot, terms in wanted.items() if terms.reach != "own" or terms.feature not in taken}
    rows = await work.session.scalars(
        sa.select(TermsRow).where(TermsRow.subscription_id == told.subscription_id)
    )
    before = {row.slot: row for row in rows}
    given = sorted(
        slot for slot, terms in wanted.items() if not _says(before.get(slot), terms, is_offered=slot in kept)
    )
    dropped = sorted(slot for slot, row in before.items() if slot not in wanted and row.sold)
    at_once = [
        slot
        for slot in given
        if is_bought_anew or wanted[slot].kind == "limit" or slot not in before or not before[slot].offered
    ]
    if given:
        statement = insert(TermsRow).values(
            [_columns(told.subscription_id, slot, wanted[slot], is_offered=slot in kept) for slot in given]
        )
        changes = {name: statement.excluded[name] for name in (*_SAID, "sold", "offered")}
        await work.session.execute(
            statement.on_conflict_do_update(index_elements=["subscription_id", "slot"], set_=changes)
        )
    for slot in dropped:
        before[slot].sold = before[slot].offered = False
    await work.flush()
    return at_once + dropped


_SAID = ("quantity", "rollover", "kind")
"""What terms say that a subscription may come to say differently."""


def _says(row: TermsRow | None, terms: Terms, *, is_offered: bool) -> bool:
    if row is None or not row.sold or row.offered != is_offered:
        return False
    return all(getattr(row, name) == getattr(terms, name) for name in _SAID)


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


async def look_again(work: UnitOfWork, subscription_id: str, slots: list[str] | None) -> None:
    """Have what a subscription gave looked at with the next opportunity, in some slots or all."""
    concerned = [AllotmentRow.subscription_id == subscription_id, AllotmentRow.closed.is_(False)]
    if slots is not None:
        concerned.append(AllotmentRow.slot.in_(slots))
    await work.session.execute(sa.update(AllotmentRow).where(*concerned).values(next_at=AT_ONCE))
