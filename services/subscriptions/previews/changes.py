"""Previews of changes and of the upcoming invoice; Stripe computes those of its subscriptions."""

from collections.abc import Iterable
from datetime import UTC, datetime

from services.subscriptions.add_ons.preview import preview_add_on
from services.subscriptions.domain.billing_periods import period_containing
from services.subscriptions.domain.catalog.catalog_view import CatalogView
from services.subscriptions.domain.catalog_lookup import build_item
from services.subscriptions.domain.invoice_taxes import totals_of
from services.subscriptions.domain.invoices import Invoice, invoice_totals
from services.subscriptions.domain.plan_changes import PlanChange
from services.subscriptions.domain.preview_totals import invoice_preview, lines_preview
from services.subscriptions.domain.previews import preview_self_managed_change, upcoming_self_managed_lines
from services.subscriptions.domain.pricing import NO_CURRENCY
from services.subscriptions.domain.stripe_objects import Json, StripeSubscription, moment
from services.subscriptions.domain.subscription_state import State
from services.subscriptions.lifecycle.change_plan import build_change_request, item_change, plan_change
from services.subscriptions.lifecycle.stripe_mutation import not_found
from services.subscriptions.previews.units import UnitsPreviews
from services.subscriptions.repository.catalog import load_catalog
from services.subscriptions.repository.subscriptions import (
    find_customer,
    find_subscription,
    live_subscriptions,
    subscription_by_stripe_id,
)
from services.subscriptions.service import service
from services.subscriptions.snapshots import period_from_row, state_from_row
from services.subscriptions.stripe.client import StripeGateway
from services.subscriptions.stripe.invoice_previews import preview_change as preview_in_stripe
from services.subscriptions.stripe.invoice_previews import preview_regular, preview_upcoming_invoice
from services.subscriptions.stripe.invoices import read_taxed_invoice
from services.subscriptions.stripe.subscription_updates import get_subscription
from services.subscriptions.tables.subscriptions import SubscriptionRow
from shared.errors import Rejected
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer, Money

NEVER = datetime.max.replace(tzinfo=UTC)


@service.question(m.PreviewChange)
async def preview_change(
    work: UnitOfWork, question: m.PreviewChange, stripe: StripeGateway, units: UnitsPreviews
) -> m.ChangePreview:
    """Preview the cost and the units of a change; raises Rejected as it would, except for its payment."""
    row = await find_subscription(work.session, question.subscription_id)
    if row is None:
        raise not_found(question.subscription_id)
    catalog = await load_catalog(work)
    if question.add_price is not None:
        preview = await preview_add_on(work, row, catalog, question, stripe)
        price = catalog.price(question.add_price)
        given = (
            await units.of_new(Customer.from_token(row.customer), build_item(catalog, price, 1))
            if price is not None
            else None
        )
        return preview.model_copy(update={"units": given})
    change = await plan_change(work, row, build_change_request(question))
    preview = await _preview_plan(work, row, catalog, change, question.proration, stripe)
    changed = await units.of_change(row, catalog, change, preview.lines, work.now)
    prorated = [line.period.start for line in preview.lines if line.proration]
    return preview.model_copy(
        update={
            "when": change.how if change.how in ("now", "period_end") else None,
            "proration_date": max(prorated, default=None) if change.how == "now" else None,
            "units": changed,
        }
    )


async def _preview_plan(
    work: UnitOfWork,
    row: SubscriptionRow,
    catalog: CatalogView,
    change: PlanChange,
    request: m.Proration,
    stripe: StripeGateway,
) -> m.ChangePreview:
    if row.stripe_subscription_id is None:
        return _preview_self_managed(work, row, catalog, change, request)
    wanted, state = item_change(change, catalog), state_from_row(row)
    present = await get_subscription(stripe, row.stripe_subscription_id)
    proration: m.Proration = request if change.how == "now" else "none"
    if change.how == "nothing" and state.scheduled_change is None:
        return await _preview_unchanged(present, catalog, stripe)
    if present.schedule_id is not None:
        return await _preview_with_schedule(present, catalog, change, proration, stripe)
    first = await read_taxed_invoice(
        stripe, await preview_in_stripe(stripe, present, wanted, proration), catalog
    )
    if change.how == "period_end" and change.is_restart:
        return invoice_preview(first, lines=_in_next_period(first.lines, present, change))
    if not _is_due_now(state, change, proration, first):
        return invoice_preview(first)
    if change.is_restart:
        regular = totals_of(line for line in first.lines if not line.proration)
        return invoice_preview(first, regular)
    following = await read_taxed_invoice(
        stripe, await preview_in_stripe(stripe, present, wanted, "none"), catalog
    )
    return invoice_preview(first, invoice_totals(following))


@service.question(m.UpcomingInvoice)
async def upcoming_invoice(
    work: UnitOfWork, question: m.UpcomingInvoice, stripe: StripeGateway
) -> m.ComingInvoiceFound:
    """Return the customer's next invoice, of Stripe or of a self-managed subscription.

    Raises Rejected `not_found` if none is coming.
    """
    token = question.customer.token
    customer = await find_customer(work.session, token)
    if customer is None:
        raise _no_upcoming_invoice(token)
    catalog = await load_catalog(work)
    coming = await _upcoming_self_managed(work, token, catalog)
    if customer.stripe_customer_id is not None and (stripe.configured or not coming):
        stripe.require()
        body = await preview_upcoming_invoice(stripe, customer=customer.stripe_customer_id)
        coming += [] if body is None else [await _upcoming_from_stripe(work, body, catalog, stripe)]
    if not coming:
        raise _no_upcoming_invoice(token)
    first = min(coming, key=lambda each: each.due_at or NEVER)
    return m.ComingInvoiceFound(invoice=first)


async def _upcoming_from_stripe(
    work: UnitOfWork, body: Json, catalog: CatalogView, stripe: StripeGateway
) -> m.ComingInvoice:
    invoice = await read_taxed_invoice(stripe, body, catalog)
    row = None
    if invoice.stripe_subscription_id is not None:
        row = await subscription_by_stripe_id(work.session, invoice.stripe_subscription_id)
    return m.ComingInvoice(
        subscription_id=row.subscription_id if row is not None else None,
        currency=invoice.currency,
        due_at=moment(body.get("period_end")) or moment(body.get("next_payment_attempt")),
        lines=list(invoice.lines),
        **dict(invoice_totals(invoice)),
    )


async def _upcoming_self_managed(work: UnitOfWork, token: str, catalog: CatalogView) -> list[m.ComingInvoice]:
    """Return the next invoices of the customer's self-managed subscriptions; free ones have none."""
    coming = []
    for row in await live_subscriptions(work.session, token):
        if row.stripe_subscription_id is not None or row.period_anchor is None or row.period_interval is None:
            continue
        state, (anchor, every) = state_from_row(row), period_from_row(row)
        lines = upcoming_self_managed_lines(state, catalog, anchor=anchor, every=every)
        prices = [catalog.price(line.price) for line in lines if line.price is not None]
        currency = next((price.currency for price in prices if price is not None), None)
        if currency is not None:
            coming.append(
                m.ComingInvoice(
                    subscription_id=row.subscription_id,
                    currency=currency,
                    due_at=state.current_period_end,
                    lines=lines,
                    **dict(totals_of(lines)),
                )
            )
    return coming


def _preview_self_managed(
    work: UnitOfWork, row: SubscriptionRow, catalog: CatalogView, change: PlanChange, proration: m.Proration
) -> m.ChangePreview:
    currency = change.price.currency or NO_CURRENCY
    preview = preview_self_managed_change(
        state_from_row(row),
        catalog,
        change,
        proration=proration,
        anchor=row.period_anchor or work.now,
        at=work.now,
    )
    return m.ChangePreview(
        due_now=Money(amount=preview.due_now, currency=currency),
        next_invoice=Money(amount=preview.next_invoice, currency=currency),
        lines=preview.lines,
        totals=totals_of(preview.lines),
        next_invoice_tax=Money(amount=0, currency=currency),
    )


async def _preview_unchanged(
    present: StripeSubscription, catalog: CatalogView, stripe: StripeGateway
) -> m.ChangePreview:
    body: Json | None = await preview_upcoming_invoice(stripe, subscription=present.stripe_subscription_id)
    if body is None:
        raise Rejected("subscription_not_active", "No invoice will come for this subscription.")
    return invoice_preview(await read_taxed_invoice(stripe, body, catalog))


async def _preview_with_schedule(
    present: StripeSubscription,
    catalog: CatalogView,
    change: PlanChange,
    proration: m.Proration,
    stripe: StripeGateway,
) -> m.ChangePreview:
    """Preview a change of a subscription with a schedule, which Stripe's own preview would include.

    The proration does not depend on the schedule, and a whole period costs what a new subscription would.
    """
    wanted, trialing = item_change(change, catalog), present.status == "trialing"
    whole = await read_taxed_invoice(stripe, await preview_regular(stripe, present, wanted), catalog)
    regular = [line for line in whole.lines if not line.proration]
    if change.how == "now" and not trialing and (change.is_restart or proration == "invoice"):
        at_once = await read_taxed_invoice(
            stripe, await preview_in_stripe(stripe, present, wanted, proration), catalog
        )
        return invoice_preview(at_once, totals_of(regular))
    settled: list[m.InvoiceLine] = []
    if change.how == "now" and not trialing and proration == "prorate":
        body: Json | None = await preview_in_stripe(stripe, present, wanted, "invoice")
    else:
        body = await preview_upcoming_invoice(stripe, subscription=present.stripe_subscription_id)
    if body is not None:
        settled = [line for line in (await read_taxed_invoice(stripe, body, catalog)).lines if line.proration]
    return lines_preview([*settled, *_in_next_period(regular, present, change)], whole.currency)


def _is_due_now(state: State, change: PlanChange, proration: m.Proration, invoice: Invoice) -> bool:
    """Whether Stripe would create this invoice now instead of with the next period."""
    if change.how != "now" or state.status == "trialing":
        return False
    if change.is_restart:
        return True
    return proration == "invoice" and any(line.proration for line in invoice.lines)


def _in_next_period(
    lines: Iterable[m.InvoiceLine], present: StripeSubscription, change: PlanChange
) -> list[m.InvoiceLine]:
    """Move lines of a period that would begin now to the period that follows the running one."""
    end = present.current_period_end
    if end is None:
        return list(lines)
    start, after = period_containing(end, change.every, end)
    period = m.Span(start=start, end=after)
    return [line if line.proration else line.model_copy(update={"period": period}) for line in lines]


def _no_upcoming_invoice(token: str) -> Rejected:
    return Rejected("not_found", f"No invoice is coming for {token}.", {"customer": token})
