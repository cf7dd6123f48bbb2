"""Subscriptions, invoices and payments through links, and the notifications about them."""

from services.notifications.domain.invoice_mails import invoice_drafts
from services.notifications.domain.subscription_mails import (
    has_started,
    link_drafts,
    plan_of,
    subscription_drafts,
)
from services.notifications.mail.queue import MailQueue
from services.notifications.service import service
from services.notifications.tables import KnownSubscriptionRow
from shared.messaging.feed_consumer import EventName, keep_newest
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as s


@service.event(s.SubscriptionEvent, name="follow_subscription")
async def follow_subscription(
    work: UnitOfWork, event: s.SubscriptionEvent, name: EventName, queue: MailQueue
) -> None:
    """Keep a subscription's plan and grace period, and queue the notifications of its event."""
    subscription = event.subscription
    known = await work.session.get(KnownSubscriptionRow, subscription.subscription_id)
    was_started = known.is_started if known else has_started(subscription)
    if known is not None:
        work.session.expunge(known)
    await keep_newest(
        work,
        KnownSubscriptionRow,
        subscription_id=subscription.subscription_id,
        version=event.version,
        customer=subscription.customer.token,
        product=plan_of(subscription),
        grace_until=subscription.grace_until,
        is_started=was_started or has_started(subscription),
    )
    await queue.add(
        work, subscription_drafts(name, event, was_started=was_started), happened_at=event.occurred_at
    )


@service.event(s.InvoiceEvent, name="follow_invoice")
async def follow_invoice(work: UnitOfWork, event: s.InvoiceEvent, name: EventName, queue: MailQueue) -> None:
    """Queue the notifications of an invoice's event."""
    await queue.add(work, invoice_drafts(name, event), happened_at=event.occurred_at)


@service.event(s.PaymentLinkEvent, name="follow_payment_link")
async def follow_payment_link(work: UnitOfWork, event: s.PaymentLinkEvent, queue: MailQueue) -> None:
    """Queue the notification of a payment through a link that is given back."""
    await queue.add(work, link_drafts(event), happened_at=event.occurred_at)
