"""The worker of this service: wiring only."""

from typing import Any

from starlette.applications import Starlette

from services.subscriptions import queries, reactions
from services.subscriptions.add_ons import cancel as add_ons_cancel
from services.subscriptions.add_ons import end_with_plan, purchase
from services.subscriptions.add_ons import queries as add_ons_queries
from services.subscriptions.benefits import queries as benefits_queries
from services.subscriptions.catalog import apply_catalog
from services.subscriptions.catalog import queries as catalog_queries
from services.subscriptions.charges import bill_overage, charge, charge_preview, open_invoices
from services.subscriptions.checkout import start_checkout
from services.subscriptions.checkout.start_checkout import Trials
from services.subscriptions.customers import billing_portal, registration
from services.subscriptions.domain.benefits import BenefitSigner
from services.subscriptions.domain.tax_settings import TaxSettings
from services.subscriptions.dunning import grace
from services.subscriptions.dunning.grace import Dunning
from services.subscriptions.entitlements import seat_holders
from services.subscriptions.lifecycle import cancel as lifecycle_cancel
from services.subscriptions.lifecycle import (
    cancellation_preview,
    change_plan,
    create,
    pause_resume,
    payment_method,
    reminders,
    renewal,
)
from services.subscriptions.lifecycle.seat_quota import SeatQuota
from services.subscriptions.overrides import set_override
from services.subscriptions.payment_links import links
from services.subscriptions.previews import changes as previews
from services.subscriptions.previews.units import UnitsPreviews
from services.subscriptions.reconciliation import jobs
from services.subscriptions.refunds import queries as refund_queries
from services.subscriptions.refunds import refund_invoice
from services.subscriptions.service import service
from services.subscriptions.settings import SubscriptionsSettings
from services.subscriptions.stripe import meters
from services.subscriptions.stripe.client import StripeGateway
from services.subscriptions.stripe_webhooks import consumer
from shared.messaging.service_client import ServiceClient
from shared.runtime.process import serve
from shared.runtime.worker import make_worker

__all__ = ["HANDLERS", "application", "provide", "service"]

HANDLERS = (
    reactions,
    queries,
    add_ons_cancel,
    end_with_plan,
    purchase,
    add_ons_queries,
    benefits_queries,
    apply_catalog,
    catalog_queries,
    bill_overage,
    charge,
    charge_preview,
    open_invoices,
    start_checkout,
    billing_portal,
    payment_method,
    registration,
    grace,
    seat_holders,
    lifecycle_cancel,
    cancellation_preview,
    change_plan,
    create,
    pause_resume,
    previews,
    reminders,
    renewal,
    set_override,
    jobs,
    links,
    refund_invoice,
    refund_queries,
    meters,
    consumer,
)
"""Importing these modules registers the commands, questions, events and jobs of this worker."""


def provide(settings: SubscriptionsSettings) -> list[Any]:
    """Create the dependencies that handlers can ask for as parameters."""
    key = settings.stripe_secret_key
    benefit_secret = settings.benefit_secret
    client = ServiceClient(settings, service.name)
    tax = TaxSettings(settings.tax_mode, settings.tax_id_collection, settings.billing_address_collection)
    return [
        client,
        SeatQuota(client),
        UnitsPreviews(client),
        BenefitSigner(benefit_secret.get_secret_value() if benefit_secret else None),
        StripeGateway(key.get_secret_value() if key else None, settings.stripe_api_base, tax=tax),
        Trials(settings.stripe_trial_days),
        Dunning(settings.grace_days, settings.dunning_end_state),
    ]


def application() -> Starlette:
    """Build the worker: `uvicorn --factory services.subscriptions.app:application` runs it, too."""
    return make_worker(service, SubscriptionsSettings(), provide=provide)


if __name__ == "__main__":
    serve(application(), SubscriptionsSettings())
