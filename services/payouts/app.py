"""Wiring of the payouts worker."""

from typing import Any

from starlette.applications import Starlette

from services.payouts.accounts import connect, stripe_pages, sync
from services.payouts.accounts import queries as account_queries
from services.payouts.accounts.connect import SellerDefaults
from services.payouts.earnings import paybacks, record_sale
from services.payouts.ledger import adjust, release
from services.payouts.ledger import queries as ledger_queries
from services.payouts.service import service
from services.payouts.settings import PayoutsSettings
from services.payouts.stripe.client import StripeConnect
from services.payouts.stripe_webhooks import consumer
from services.payouts.transfers import pay_out, schedule
from services.payouts.transfers import queries as transfer_queries
from shared.runtime.process import serve
from shared.runtime.worker import make_worker

__all__ = ["HANDLERS", "application", "provide", "service"]

HANDLERS = (
    account_queries,
    connect,
    stripe_pages,
    sync,
    record_sale,
    paybacks,
    adjust,
    release,
    ledger_queries,
    pay_out,
    schedule,
    transfer_queries,
    consumer,
)
"""Modules with handlers; importing them registers the commands, questions, events and jobs."""

SELLER_PAGE = "/billing/payouts"
"""The path of the seller's page in the gateway."""


def provide(settings: PayoutsSettings) -> list[Any]:
    """Build the objects that are injected into handlers."""
    key = settings.stripe_secret_key
    return [
        StripeConnect(key.get_secret_value() if key else None, settings.stripe_api_base),
        SellerDefaults(
            hold_days=settings.payout_hold_days,
            page_url=settings.gateway_public_url.rstrip("/") + SELLER_PAGE,
        ),
    ]


def application() -> Starlette:
    """Build the worker: `uvicorn --factory services.payouts.app:application` runs it, too."""
    return make_worker(service, PayoutsSettings(), provide=provide)


if __name__ == "__main__":
    serve(application(), PayoutsSettings())
