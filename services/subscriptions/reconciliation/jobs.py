"""Jobs that reconcile subscriptions with Stripe and clean up."""

from datetime import datetime

from services.subscriptions.dunning.grace import Dunning
from services.subscriptions.reconciliation.cleanup import run_cleanup
from services.subscriptions.reconciliation.end_of_retries import EndOfRetries
from services.subscriptions.reconciliation.stripe_sync import StripeSync
from services.subscriptions.reconciliation.tax_rates import TaxRateReplacement
from services.subscriptions.service import service
from services.subscriptions.stripe.client import StripeGateway
from shared.persistence.unit_of_work import Transactions


@service.job("sync_stripe")
async def sync_stripe(
    transactions: Transactions, at: datetime, stripe: StripeGateway, dunning: Dunning
) -> None:
    """Correct what differs from Stripe, replace archived tax rates, and end what is given up."""
    sync = StripeSync(transactions, stripe, dunning, at)
    await sync.run()
    if stripe.configured:
        await TaxRateReplacement(sync).run()
    if stripe.configured and dunning.end_state is not None:
        await EndOfRetries(sync, dunning.end_state).run()


@service.job("clean_up")
async def clean_up(transactions: Transactions, at: datetime, stripe: StripeGateway, dunning: Dunning) -> None:
    """End incomplete subscriptions, delete parked events and expire checkouts that were abandoned."""
    await run_cleanup(StripeSync(transactions, stripe, dunning, at, job="clean_up"))
