"""What other services tell and this one acts on."""

from services.seats.projections import subscription_projection
from services.seats.service import service
from services.seats.tables import KnownInvoice
from shared.messaging.feed_consumer import Begin, keep_newest_of
from shared.persistence.unit_of_work import Work
from tallystick.messages import subscriptions as s


@service.event(s.SubscriptionEvent, name="follow_subscription", in_parts=True)
async def follow_subscription(begin: Begin, event: s.SubscriptionEvent) -> None:
    """A team for each subscription with seats, for as long as it lives."""
    async with begin() as work:
        if await subscription_projection.note_subscription(work, event.subscription):
            await subscription_projection.lead_team(work, event.subscription)
    # Also when it was known already: an earlier delivery may have ended half-way.
    await subscription_projection.close_teams(begin, event.subscription.subscription_id)


@service.event(s.CustomerEvent, name="follow_customer")
async def follow_customer(work: Work, event: s.CustomerEvent) -> None:
    """Who manages a customer's teams."""
    await subscription_projection.note_customer(work, event.customer)


@service.event(s.InvoiceEvent, name="follow_invoices", together=True)
async def follow_invoices(work: Work, events: list[s.InvoiceEvent]) -> None:
    """What subscriptions cost."""
    invoices = [event.invoice for event in events if event.invoice.subscription_id is not None]
    await keep_newest_of(
        work,
        KnownInvoice,
        [
            {
                "invoice_id": invoice.invoice_id,
                "version": invoice.version,
                "subscription_id": invoice.subscription_id,
                "snapshot": invoice.model_dump(mode="json"),
            }
            for invoice in invoices
        ],
    )
