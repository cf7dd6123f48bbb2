"""The preview of a cancellation: what ends with the subscription, and what is credited."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from services.subscriptions.domain.add_on_ends import PlanEnd, end_with_plan, plan_end
from services.subscriptions.domain.invoice_taxes import gross
from services.subscriptions.domain.invoices import read_invoice
from services.subscriptions.domain.subscription_state import State
from services.subscriptions.lifecycle.stripe_mutation import not_found
from services.subscriptions.repository.catalog import load_catalog
from services.subscriptions.repository.plan_ends import HeldAddOn, load_holdings
from services.subscriptions.repository.subscriptions import find_subscription
from services.subscriptions.service import service
from services.subscriptions.snapshots import state_from_row
from services.subscriptions.stripe.client import StripeGateway
from services.subscriptions.stripe.invoice_previews import preview_unused_time
from services.subscriptions.tables.subscriptions import SubscriptionRow
from shared.errors import Rejected
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Money


@service.question(m.PreviewCancellation)
async def preview_cancellation(
    work: UnitOfWork, question: m.PreviewCancellation, stripe: StripeGateway
) -> m.CancellationPreview:
    """Preview a cancellation; raises Rejected `not_found` and `subscription_ended`."""
    row = await find_subscription(work.session, question.subscription_id)
    if row is None:
        raise not_found(question.subscription_id)
    return await preview_end(work, row, stripe, now=question.at == "now")


async def preview_end(
    work: UnitOfWork, row: SubscriptionRow, stripe: StripeGateway, *, now: bool
) -> m.CancellationPreview:
    """Return what ends with a subscription, now or at its end; raises Rejected `subscription_ended`."""
    state = state_from_row(row)
    if state.is_final:
        raise Rejected("subscription_ended", "The subscription has ended already.")
    end = work.now if now else state.ends_at or state.current_period_end
    holdings = await load_holdings(work, row.customer)
    own = next((held for held in holdings.add_ons if held.subscription is row), None)
    ends = list(_ends(row.subscription_id, state, end, own))
    credits_: list[_Credit] = []
    if own is None:
        plans = holdings.plans | {row.subscription_id: replace(state, cancel_at=end)}
        last = PlanEnd(None) if end is None else plan_end(plans.values(), None)
        for held in holdings.add_ons:
            ends_at, is_credited = end_with_plan(held.state, held.followed, last)
            if ends_at is None:
                continue
            ends += _ends(held.subscription.subscription_id, held.state, ends_at, held)
            if is_credited:
                credits_ += await _credit(work, held, stripe, None if now else ends_at)
    lines = [line for credit in credits_ for line in credit.lines]
    total = -sum(gross(line) for line in lines)
    currency = credits_[0].currency if credits_ else ""
    return m.CancellationPreview(
        ends_at=end,
        ends=ends,
        lines=lines,
        credit=Money(amount=total, currency=currency) if total else None,
    )


@dataclass(frozen=True, slots=True)
class _Credit:
    lines: list[m.InvoiceLine]
    currency: str


async def _credit(
    work: UnitOfWork, held: HeldAddOn, stripe: StripeGateway, at: datetime | None
) -> list[_Credit]:
    """Return the credit for an add-on's unused time after an end (None: from now on), as Stripe states it."""
    stripe_id, period_end = held.subscription.stripe_subscription_id, held.state.current_period_end
    # Time after the running period will be charged only up to the end.
    if stripe_id is None or (at is not None and (period_end is None or at >= period_end)):
        return []
    body = await preview_unused_time(stripe, stripe_id, at)
    if body is None:
        return []
    invoice = read_invoice(body, await load_catalog(work))
    return [_Credit([line for line in invoice.lines if line.credit == "unused"], invoice.currency)]


def _ends(
    subscription_id: str, state: State, at: datetime | None, held: HeldAddOn | None
) -> Iterator[m.EndingItem]:
    """List what ends with a subscription: its products, their seats and their units."""
    for item in state.items:
        product = m.EndingItem(
            kind="plan" if held is None else "add_on",
            subscription_id=subscription_id,
            add_on_id=held.row.add_on_id if held is not None else None,
            product=item.product,
            ends_at=at,
        )
        yield product
        if item.seats is not None:
            yield product.model_copy(update={"kind": "seats", "quantity": item.quantity})
        for given in item.features:
            if given.kind == "consumable":
                units = {"kind": "units", "feature": given.feature, "quantity": given.quantity}
                yield product.model_copy(update=units)
