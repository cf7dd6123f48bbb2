"""Jobs that compare subscriptions with Stripe and clean up."""

from datetime import datetime

from services.subscriptions.dunning.grace import Dunning
from services.subscriptions.reconciliation.cleanup import clean_up as put_away
from services.subscriptions.reconciliation.end_of_retries import GivingUp
from services.subscriptions.reconciliation.stripe_sync import Sync
from services.subscriptions.service import service
from services.subscriptions.stripe.client import StripeGateway
from shared.persistence.unit_of_work import Transactions


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
