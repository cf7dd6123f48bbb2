"""A completed payment through a link: the payer becomes a customer, and a second plan is given back.

Stripe makes a customer of its own for each of these payments, so that one of ours may have several. Whoever
has the plan already, or came after the last use, is refunded and the subscription is canceled, by commands
that this service sends to itself.
"""

import sqlalchemy as sa

from services.subscriptions.customers.stripe_link import adopt_subscription
from services.subscriptions.domain.payment_links import LinkPayment, refusal
from services.subscriptions.payment_links.payers import find_payer, link_payer
from services.subscriptions.payment_links.state_changes import emit_link
from services.subscriptions.repository.subscriptions import live_states, subscription_by_stripe_id
from services.subscriptions.stripe_webhooks.context import EventContext, IrrelevantEvent
from services.subscriptions.stripe_webhooks.fetched_objects import NO_REVISION
from services.subscriptions.stripe_webhooks.refund_events import fetched_invoice
from services.subscriptions.tables.payment_links import PaymentLinkRow, PaymentLinkUseRow
from services.subscriptions.tables.subscriptions import CustomerRow, InvoiceRow, SubscriptionRow
from shared.ids import new_id
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m

REFUND_REASON = "duplicate"
"""Stripe's own reason for a payment that is given back."""


async def apply_link_payment(context: EventContext, payment: LinkPayment) -> None:
    """Record the use of a link once: its customer, subscription and invoice, and whether it is accepted."""
    work = context.work
    link = await _locked_link(work, payment)
    if await _is_recorded(work, payment):
        return
    customer = await find_payer(work, payment, link.customer)
    await link_payer(work, customer, payment.stripe_customer_id)
    held = await _held_products(work, customer, payment)
    subscription = await _adopted(context, customer, payment)
    invoice = await fetched_invoice(context, payment.stripe_invoice_id) if payment.stripe_invoice_id else None
    plans = await _plans(context, link)
    reason = refusal(has_plan=bool(plans & held), uses=link.uses, uses_max=link.uses_max)
    use = PaymentLinkUseRow(
        use_id=new_id("use"),
        payment_link_id=link.payment_link_id,
        customer=customer.customer,
        subscription_id=subscription.subscription_id if subscription is not None else None,
        invoice_id=invoice.invoice_id if invoice is not None else None,
        outcome="accepted" if reason is None else "refunded",
        reason=reason,
        stripe_checkout_id=payment.stripe_checkout_id,
        used_at=work.now,
    )
    work.session.add(use)
    _count(work, link, use)
    if reason is not None:
        _give_back(work, use, subscription, invoice)


def _count(work: UnitOfWork, link: PaymentLinkRow, use: PaymentLinkUseRow) -> None:
    """Count an accepted use, and tell of it; Stripe deactivates a link after its last use."""
    link.uses += use.outcome == "accepted"
    emit_link(work, link, "used", use)
    if link.status == "active" and link.uses_max is not None and link.uses >= link.uses_max:
        link.status = "deactivated"
        emit_link(work, link, "deactivated")


def _give_back(
    work: UnitOfWork,
    use: PaymentLinkUseRow,
    subscription: SubscriptionRow | None,
    invoice: InvoiceRow | None,
) -> None:
    """Refund what was paid and end the subscription; a trial has nothing to refund."""
    if invoice is not None and invoice.amount_paid > 0:
        work.send(
            m.RefundInvoice(
                command_id=f"{use.use_id}.refund",
                requested_by="subscriptions",
                invoice_id=invoice.invoice_id,
                reason=REFUND_REASON,
                end_subscription=invoice.subscription_id is not None,
            )
        )
    elif subscription is not None:
        work.send(
            m.CancelSubscription(
                command_id=f"{use.use_id}.cancel",
                requested_by="subscriptions",
                subscription_id=subscription.subscription_id,
                at="now",
                reason=use.reason,
            )
        )


async def _locked_link(work: UnitOfWork, payment: LinkPayment) -> PaymentLinkRow:
    """Load and lock the link, so that its uses are counted one by one."""
    query = sa.select(PaymentLinkRow).where(
        PaymentLinkRow.stripe_payment_link_id == payment.stripe_payment_link_id
    )
    link = await work.session.scalar(query.with_for_update().execution_options(populate_existing=True))
    if link is None:
        raise IrrelevantEvent
    return link


async def _is_recorded(work: UnitOfWork, payment: LinkPayment) -> bool:
    query = sa.select(PaymentLinkUseRow.use_id).where(
        PaymentLinkUseRow.stripe_checkout_id == payment.stripe_checkout_id
    )
    return await work.session.scalar(query) is not None


async def _held_products(work: UnitOfWork, customer: CustomerRow, payment: LinkPayment) -> set[str]:
    """Return the products that the customer has subscribed to without this payment."""
    await work.flush()
    own = (
        await subscription_by_stripe_id(work.session, payment.stripe_subscription_id)
        if payment.stripe_subscription_id is not None
        else None
    )
    states = await live_states(work, [customer.customer])
    others = (state for _, held, state in states if own is None or held != own.subscription_id)
    return {product for state in others for product in state.products}


async def _adopted(
    context: EventContext, customer: CustomerRow, payment: LinkPayment
) -> SubscriptionRow | None:
    """Return the row of the subscription that was paid, adopting it if its own events have not."""
    stripe_id = payment.stripe_subscription_id
    if stripe_id is None:
        return None
    row = await subscription_by_stripe_id(context.work.session, stripe_id)
    if row is not None:
        return row
    subscription = context.fetched.subscription(stripe_id, NO_REVISION)
    if subscription is None:
        return None
    await adopt_subscription(context.work, customer, subscription, await context.catalog())
    return await subscription_by_stripe_id(context.work.session, stripe_id)


async def _plans(context: EventContext, link: PaymentLinkRow) -> set[str]:
    """Return the products of a link that a customer can have only once."""
    catalog = await context.catalog()
    prices = [catalog.price(item["price"]) for item in link.items]
    products = [catalog.product_of(price) for price in prices if price is not None]
    return {product.code for product in products if product.kind == "plan"}
