"""Commands that keep or interrupt a subscription, and what time brings it apart from its periods."""

from datetime import datetime

from services.subscriptions.dunning.end_of_retries import GivingUp
from services.subscriptions.dunning.grace import Dunning, end_due_grace
from services.subscriptions.lifecycle.card_expiry import announce_expired_cards
from services.subscriptions.lifecycle.pause_resume import Interrupting
from services.subscriptions.lifecycle.reminders import remind
from services.subscriptions.reconciliation.cleanup import clean_up as put_away
from services.subscriptions.reconciliation.stripe_sync import Sync
from services.subscriptions.service import service
from services.subscriptions.stripe.client import StripeGateway
from shared.messaging.external_command import Steps
from shared.persistence.unit_of_work import Transactions
from tallystick.messages import subscriptions as m


@service.external_command(m.ReactivateSubscription)
async def reactivate_subscription(
    steps: Steps, command: m.ReactivateSubscription, stripe: StripeGateway
) -> m.SubscriptionFound:
    """Take back the wish to end with the period."""
    return await Interrupting(steps, command, stripe).carry_out()


@service.external_command(m.PauseSubscription)
async def pause_subscription(
    steps: Steps, command: m.PauseSubscription, stripe: StripeGateway
) -> m.SubscriptionFound:
    """Collect nothing and give nothing until it is resumed."""
    return await Interrupting(steps, command, stripe).carry_out()


@service.external_command(m.ResumeSubscription)
async def resume_subscription(
    steps: Steps, command: m.ResumeSubscription, stripe: StripeGateway
) -> m.SubscriptionFound:
    """Collect and give again."""
    return await Interrupting(steps, command, stripe).carry_out()


@service.job("end_grace")
async def end_grace(transactions: Transactions, at: datetime) -> None:
    """Who has not paid within grace has nothing more until they do."""
    await end_due_grace(transactions, at)


@service.job("send_reminders")
async def send_reminders(transactions: Transactions, at: datetime, stripe: StripeGateway) -> None:
    """Trials that end, periods that renew, and cards that will have expired by then, are told before."""
    await remind(transactions, at)
    await announce_expired_cards(transactions, stripe, at)


@service.job("sync_stripe")
async def sync_stripe(
    transactions: Transactions, at: datetime, stripe: StripeGateway, dunning: Dunning
) -> None:
    """What Stripe has is right, whatever its events have told us; who is given up ends as is configured."""
    sync = Sync(transactions, stripe, dunning, at)
    await sync.compare_all()
    if stripe.configured and dunning.end_state is not None:
        await GivingUp(sync, dunning.end_state).look()


@service.job("clean_up")
async def clean_up(transactions: Transactions, at: datetime, stripe: StripeGateway, dunning: Dunning) -> None:
    """What nobody will finish is ended or forgotten."""
    await put_away(Sync(transactions, stripe, dunning, at, job="clean_up"))
