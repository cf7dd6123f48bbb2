"""Previews for self-managed subscriptions, which have no Stripe object and are paid outside.

The amounts equal those that Stripe would compute.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.subscriptions.domain.billing_periods import BillingInterval, period_containing
from services.subscriptions.domain.catalog_lookup import CatalogLookup
from services.subscriptions.domain.plan_changes import PlanChange
from services.subscriptions.domain.pricing import price_parts
from services.subscriptions.domain.proration import PricedQuantity, ProratedLine, proration_lines, share_left
from services.subscriptions.domain.self_managed_changes import apply_scheduled_change
from services.subscriptions.domain.subscription_state import State
from tallystick.messages.subscriptions import CHANGEABLE_STATUSES, InvoiceLine, Proration, Span


@dataclass(frozen=True, slots=True)
class Preview:
    """The amount due now, the amount of the next period, and the lines of the first of these invoices."""

    due_now: int
    next_invoice: int
    lines: list[InvoiceLine]


def preview_self_managed_change(
    state: State,
    catalog: CatalogLookup,
    change: PlanChange,
    *,
    proration: Proration,
    anchor: datetime,
    at: datetime,
) -> Preview:
    """Preview a change; `anchor` is the moment from which the periods are counted."""
    wanted = PricedQuantity(change.price, change.quantity)
    others = [
        PricedQuantity(price, item.quantity)
        for item in state.items
        if item != change.item and item.price is not None and (price := catalog.price(item.price))
    ]
    running = Span(start=state.current_period_start or at, end=state.current_period_end or at)
    if change.how == "now" and change.is_restart and state.status != "trialing":
        return _preview_restart(catalog, change, running, wanted, at, proration)
    following = _next_period(anchor, change, running)
    regular = [line for bought in (wanted, *others) for line in _full_period_lines(bought, following)]
    settled: list[InvoiceLine] = []
    if change.how == "now" and proration != "none" and state.status != "trialing":
        settled = _proration_lines(catalog, change, wanted, running, at)
    if settled and proration == "invoice":
        return Preview(max(_total(settled), 0), _total(regular), settled)
    lines = [*settled, *regular]
    return Preview(0, max(_total(lines), 0), lines)


def upcoming_self_managed_lines(
    state: State, catalog: CatalogLookup, *, anchor: datetime, every: BillingInterval
) -> list[InvoiceLine]:
    """Return the next period's lines, a scheduled change included; empty if none follows."""
    end = state.current_period_end
    if end is None or state.status not in CHANGEABLE_STATUSES or state.cancel_at_period_end:
        return []
    after, anchor, every = apply_scheduled_change(state, catalog, anchor, every, end)
    start, stop = period_containing(anchor, every, end)
    bought = [
        PricedQuantity(price, item.quantity)
        for item in after.items
        if item.price is not None and (price := catalog.price(item.price))
    ]
    return [line for each in bought for line in _full_period_lines(each, Span(start=start, end=stop))]


def _preview_restart(
    catalog: CatalogLookup,
    change: PlanChange,
    running: Span,
    wanted: PricedQuantity,
    at: datetime,
    proration: Proration,
) -> Preview:
    """Preview a change that starts a new period now: the old one is credited, the new one is due."""
    start, end = period_containing(at, change.every, at)
    whole = _full_period_lines(wanted, Span(start=start, end=end))
    settled = _proration_lines(catalog, change, wanted, running, at) if proration != "none" else []
    lines = [*(line for line in settled if line.amount < 0), *whole]
    return Preview(max(_total(lines), 0), _total(whole), lines)


def _next_period(anchor: datetime, change: PlanChange, running: Span) -> Span:
    counted_from = running.end if change.is_restart else anchor
    start, end = period_containing(counted_from, change.every, running.end)
    return Span(start=start, end=end)


def _proration_lines(
    catalog: CatalogLookup, change: PlanChange, wanted: PricedQuantity, running: Span, at: datetime
) -> list[InvoiceLine]:
    before = catalog.price(change.item.price) if change.item.price is not None else None
    if before is None or running.end <= running.start:
        return []
    share = share_left(running.start, running.end, at)
    rest = Span(start=at, end=running.end)
    lines = proration_lines(PricedQuantity(before, change.item.quantity), wanted, share)
    return [_proration_line(line, rest) for line in lines]


def _proration_line(line: ProratedLine, rest: Span) -> InvoiceLine:
    price, quantity = line.bought.price, line.bought.quantity
    word = "Unused" if line.amount < 0 else "Remaining"
    return InvoiceLine(
        description=f"{word} time on {quantity} × {price.code}",
        amount=line.amount,
        quantity=quantity,
        period=rest,
        proration=True,
        credit="unused" if line.amount < 0 else None,
        price=price.code,
        net=line.amount,
    )


def _full_period_lines(bought: PricedQuantity, period: Span) -> list[InvoiceLine]:
    return [
        InvoiceLine(
            description=" ".join(filter(None, (f"{part.quantity} × {bought.price.code}", part.label))),
            amount=part.amount,
            quantity=part.quantity,
            period=period,
            proration=False,
            price=bought.price.code,
            net=part.amount,
        )
        for part in price_parts(bought.price, bought.quantity)
    ]


def _total(lines: Sequence[InvoiceLine]) -> int:
    return sum(line.amount for line in lines)
