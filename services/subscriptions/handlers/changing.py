"""Commands that change what a subscription is for, now or when its period ends."""

from datetime import datetime

from services.subscriptions.lifecycle import previews
from services.subscriptions.lifecycle.change_plan import Changing, cancel_scheduled
from services.subscriptions.lifecycle.renewal import apply_due_changes
from services.subscriptions.lifecycle.seat_quota import TeamRoom
from services.subscriptions.service import service
from services.subscriptions.stripe.client import StripeGateway
from shared.messaging.external_command import Steps
from shared.persistence.unit_of_work import Transactions, Work
from tallystick.messages import subscriptions as m


@service.external_command(m.ChangePlan)
async def change_plan(
    steps: Steps, command: m.ChangePlan, stripe: StripeGateway, room: TeamRoom
) -> m.SubscriptionChanged:
    """To another price."""
    return await Changing(steps, command, stripe, room).carry_out()


@service.external_command(m.ChangeQuantity)
async def change_quantity(
    steps: Steps, command: m.ChangeQuantity, stripe: StripeGateway, room: TeamRoom
) -> m.SubscriptionChanged:
    """More or less of the same."""
    return await Changing(steps, command, stripe, room).carry_out()


@service.external_command(m.ChangeHeldQuantity)
async def change_held_quantity(
    steps: Steps, command: m.ChangeHeldQuantity, stripe: StripeGateway, room: TeamRoom
) -> m.SubscriptionChanged:
    """As many seats as seats says."""
    return await Changing(steps, command, stripe, room).carry_out()


@service.external_command(m.CancelScheduledChange)
async def cancel_scheduled_change(
    steps: Steps, command: m.CancelScheduledChange, stripe: StripeGateway
) -> m.SubscriptionFound:
    """Let it go on as it is."""
    return await cancel_scheduled(steps, command, stripe)


@service.question(m.PreviewChange)
async def preview_change(work: Work, question: m.PreviewChange, stripe: StripeGateway) -> m.ChangePreview:
    """The lines that a change then makes."""
    return await previews.preview_change(work, question, stripe)


@service.question(m.UpcomingInvoice)
async def upcoming_invoice(
    work: Work, question: m.UpcomingInvoice, stripe: StripeGateway
) -> m.ComingInvoiceFound:
    """What a customer pays next."""
    return await previews.get_upcoming_invoice(work, question, stripe)


@service.job("apply_changes")
async def apply_changes(transactions: Transactions, at: datetime) -> None:
    """Changes that waited for the end of a period of our own; Stripe makes those of its own."""
    await apply_due_changes(transactions, at)
