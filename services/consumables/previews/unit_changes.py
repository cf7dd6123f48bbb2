"""The preview of what a change of a subscription does to units, by the rules that the change follows."""

from datetime import datetime
from typing import NamedTuple, cast

import sqlalchemy as sa

from services.consumables.domain.allotments import Due, Terms, terms_of
from services.consumables.domain.overrides import revoked_features
from services.consumables.domain.term_changes import bought_products, offered_slots, term_change
from services.consumables.domain.unit_changes import AccountChange, UnitChange, sum_by_feature, unit_change
from services.consumables.grants.allotments import Allotment, units_due
from services.consumables.ledger.repository import LedgerBatch, load
from services.consumables.projections.entities import (
    DUE_NOW,
    REACHED,
    cut_at,
    next_anchor,
    overrides_of,
    stored_terms,
)
from services.consumables.service import service
from services.consumables.tables.projections import AllotmentRow, KnownSubscriptionRow, TermsRow
from shared.errors import NotYetKnown
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import consumables as m
from tallystick.messages.catalog import Interval
from tallystick.messages.subscriptions import SubscriptionItem

PREVIEWED_MAX = 2_000
"""Allotments in one preview; it is answered in a fraction of a second even then."""

SELECT_REACHED = f"""
    SELECT reach, account, multiplier, prorated FROM ({REACHED}) AS reached ORDER BY account LIMIT %(limit)s
"""  # noqa: S608 - our own names


class PlannedTerms(NamedTuple):
    """Terms as the change would leave them."""

    feature: str
    reach: str
    every: Interval | None
    quantity: int | None
    rollover: int
    is_sold: bool
    is_offered: bool


class Plan(NamedTuple):
    """A subscription as the change would leave it."""

    known: KnownSubscriptionRow
    terms: dict[str, PlannedTerms]
    """Those whose allotments are due because of the change, by slot; consumables only."""
    anchor: datetime
    period: tuple[datetime, datetime]


@service.question(m.PreviewUnits)
async def preview_units(work: UnitOfWork, question: m.PreviewUnits) -> m.UnitsPreview:
    """Preview what a change does to the consumables of a subscription; raises NotYetKnown `not_found`."""
    if question.subscription_id is None:
        return m.UnitsPreview(units=sum_by_feature(await _given_by_new(work, question)))
    known = await _known(work, question.subscription_id, question.version or 1)
    if not known.grants:
        return m.UnitsPreview(units=[])
    plan = await _plan(work, question, known)
    allotments = await _allotments(work, plan)
    if len(allotments) > PREVIEWED_MAX:
        return m.UnitsPreview(units=None)
    balances = [(one.account, one.feature) for one in allotments]
    grant_ids = [grant_id for one in allotments for grant_id in one.grant_ids]
    batch = await load(work, named=balances, grant_ids=grant_ids, lock=False)
    at, is_now = max(work.now, plan.period[0]), question.when == "now"
    return m.UnitsPreview(
        units=sum_by_feature(_account_change(batch, one, at, is_now=is_now) for one in allotments)
    )


async def _known(work: UnitOfWork, subscription_id: str, version: int) -> KnownSubscriptionRow:
    """Return a subscription of which an earlier change is granted or taken back, too."""
    known = await work.session.get(KnownSubscriptionRow, subscription_id)
    granting = sa.exists().where(
        AllotmentRow.subscription_id == subscription_id, AllotmentRow.next_at == DUE_NOW
    )
    if (
        known is None
        or known.version < version
        or (known.grants and await work.session.scalar(sa.select(granting)))
    ):
        raise NotYetKnown("not_found", "There is no such subscription.", {"subscription_id": subscription_id})
    return known


def _account_change(batch: LedgerBatch, row: Allotment, at: datetime, *, is_now: bool) -> AccountChange:
    grants = [batch.grants[grant_id] for grant_id in row.grant_ids if grant_id in batch.grants]
    _, before, _, held, due = units_due(row, grants, at)
    is_unlimited = row.cycle_quantity is None or (before is not None and before.quantity is None)
    units = unit_change(due, held, grants) if is_now else UnitChange(0, held.remaining)
    return AccountChange(
        feature=row.feature,
        account=row.account,
        units=None if is_unlimited else units,
        every=row.every,
        later=row.cycle_quantity or 0,
    )


async def _given_by_new(work: UnitOfWork, question: m.PreviewUnits) -> list[AccountChange]:
    """Return what a new subscription gives to its customer; no seat of it is claimed yet."""
    terms = terms_of(_items(question))
    offered = offered_slots(terms, revoked_features(await overrides_of(work, question.customer.token)))
    return [
        AccountChange(
            feature=one.feature,
            account=question.customer.token,
            units=None if one.quantity is None else unit_change(Due(one.quantity, 0, closes=False)),
            every=one.every,
            later=one.quantity or 0,
        )
        for slot, one in terms.items()
        if slot in offered and one.kind == "consumable" and one.reach == "own"
    ]


def _items(question: m.PreviewUnits) -> list[SubscriptionItem]:
    return [SubscriptionItem.model_validate({"price": None, **item.model_dump()}) for item in question.items]


async def _plan(work: UnitOfWork, question: m.PreviewUnits, known: KnownSubscriptionRow) -> Plan:
    items, start, end = _items(question), known.period_start, known.period_end
    if question.period is not None:
        start, end = question.period.start, question.period.end
    anchor = next_anchor(known, start, end, items)
    # A subscription that grants has had a period since it began.
    assert start is not None and end is not None and anchor is not None
    before, new = await stored_terms(work, known.subscription_id), terms_of(items)
    offered = offered_slots(new, revoked_features(await overrides_of(work, known.customer)))
    has_new_products = bought_products(items) != known.bought
    change = term_change(before, new, offered, has_new_products=has_new_products)
    due = change.due if anchor == known.anchor else {*before, *new}
    planned = {
        slot: _sold(new[slot], is_offered=slot in offered) if slot in new else _dropped(before[slot])
        for slot in due
        if (new[slot] if slot in new else before[slot]).kind == "consumable"
    }
    return Plan(known, planned, anchor, (start, end))


def _sold(terms: Terms, *, is_offered: bool) -> PlannedTerms:
    return PlannedTerms(
        terms.feature, terms.reach, terms.every, terms.quantity, terms.rollover, True, is_offered
    )


def _dropped(row: TermsRow) -> PlannedTerms:
    every = cast("Interval | None", row.every)
    return PlannedTerms(row.feature, row.reach, every, row.quantity, row.rollover, False, False)


async def _allotments(work: UnitOfWork, plan: Plan) -> list[Allotment]:
    """Return the allotments that the change concerns, at most one more of each kind than `PREVIEWED_MAX`."""
    if not plan.terms:
        return []
    subscription_id = plan.known.subscription_id
    query = sa.select(AllotmentRow).where(
        AllotmentRow.subscription_id == subscription_id,
        AllotmentRow.closed.is_(False),
        AllotmentRow.slot.in_(plan.terms),
    )
    rows = list(await work.session.scalars(query.limit(PREVIEWED_MAX + 1)))
    known = {(row.slot, row.account) for row in rows}
    values = {"subscriptions": [subscription_id], "seats": None, "limit": PREVIEWED_MAX + 1}
    reached = await (await work.driver.execute(SELECT_REACHED, values)).fetchall()
    return [_allotment(plan, row) for row in rows] + [
        _allotment(plan, AllotmentRow(slot=slot, account=account, multiplier=times, prorated=prorated))
        for slot, terms in plan.terms.items()
        for reach, account, times, prorated in reached
        if terms.is_offered and terms.reach == reach and (slot, account) not in known
    ]


def _allotment(plan: Plan, row: AllotmentRow) -> Allotment:
    """Return a known allotment, or a new one, under the planned terms."""
    known, terms = plan.known, plan.terms[row.slot]
    return Allotment(
        subscription_id=known.subscription_id,
        slot=row.slot,
        account=row.account,
        feature=terms.feature,
        kind="consumable",
        reach=terms.reach,
        every=terms.every,
        quantity=terms.quantity,
        rollover=terms.rollover,
        offered=terms.is_offered,
        sold=terms.is_sold,
        multiplier=row.multiplier,
        prorated=row.prorated,
        cycle_number=row.cycle_number,
        cycle_start=row.cycle_start,
        granted=row.granted,
        grant_ids=row.grant_ids or [],
        next_at=DUE_NOW,
        customer=known.customer,
        product=known.product,
        anchor=plan.anchor,
        period_start=plan.period[0],
        period_end=plan.period[1],
        ended_at=None,
        ends_at=known.ends_at,
        withheld=row.withheld or 0,
        cut_at=cut_at(known, known.status, plan.period[0]),
    )
