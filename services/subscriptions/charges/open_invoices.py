"""`pay_open_invoices`: a new payment method pays what is open at once, instead of at Stripe's next retry."""

from dataclasses import dataclass, field
from typing import Any

import stripe as sdk
from pydantic import BaseModel, ConfigDict

from services.subscriptions.domain.invoices import InvoiceChange
from services.subscriptions.domain.open_invoices import is_collectible
from services.subscriptions.rejections import require_customer
from services.subscriptions.repository.subscriptions import invoice_by_stripe_id, live_subscriptions
from services.subscriptions.service import service
from services.subscriptions.snapshots import invoice_from_row
from services.subscriptions.state_changes import change_invoice
from services.subscriptions.stripe.client import StripeGateway, stripe_rejections
from shared.messaging.external_command import ExternalCommandSteps
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m

OPEN_INVOICES_MAX = 100
"""The newest open invoices of a customer: one page of Stripe's list."""
NOT_COLLECTED = ("incomplete", "paused")
"""Statuses of running subscriptions whose invoices nobody tries to collect."""


class OpenInvoicesIntent(BaseModel):
    """The Stripe customer and the subscriptions whose invoices are paid; None: not known to Stripe."""

    model_config = ConfigDict(frozen=True)

    stripe_customer_id: str | None
    live: list[str]


@dataclass(frozen=True, slots=True)
class Attempts:
    """The Stripe ids of the invoices that were paid, and of those whose payment was declined."""

    paid: list[str] = field(default_factory=list)
    declined: list[str] = field(default_factory=list)


@service.external_command(m.PayOpenInvoices)
async def pay_open_invoices(
    steps: ExternalCommandSteps, command: m.PayOpenInvoices, stripe: StripeGateway
) -> m.OpenInvoicesPaid:
    """Pay the customer's open invoices, each once; Stripe's events tell which were paid."""
    stripe.require()
    intent = await steps.intend(lambda work: _plan(work, command), OpenInvoicesIntent)
    attempts = await _pay_all(stripe, command, intent, steps)
    return await steps.record(lambda work: _record(work, command, attempts))


async def _plan(work: UnitOfWork, command: m.PayOpenInvoices) -> OpenInvoicesIntent:
    customer = await require_customer(work, command.customer)
    rows = await live_subscriptions(work.session, customer.customer)
    return OpenInvoicesIntent(
        stripe_customer_id=customer.stripe_customer_id,
        live=[
            row.stripe_subscription_id
            for row in rows
            if row.stripe_subscription_id is not None and row.status not in NOT_COLLECTED
        ],
    )


async def _pay_all(
    stripe: StripeGateway,
    command: m.PayOpenInvoices,
    intent: OpenInvoicesIntent,
    steps: ExternalCommandSteps,
) -> Attempts:
    attempts = Attempts()
    customer_id, method = intent.stripe_customer_id, command.payment_method
    if customer_id is None or not await _is_saved(stripe, customer_id, method):
        return attempts
    for invoice in await _list_open(stripe, customer_id):
        if is_collectible(invoice, intent.live):
            paid = await _pay(stripe, invoice["id"], method, steps.key(f"pay:{invoice['id']}"))
            (attempts.paid if paid else attempts.declined).append(invoice["id"])
    return attempts


async def _is_saved(stripe: StripeGateway, customer_id: str, method: str) -> bool:
    """Whether the payment method is still the customer's: it may have been removed since."""
    async with stripe.calls():
        try:
            found = await stripe.api.payment_methods.retrieve_async(method)
        except sdk.InvalidRequestError:
            return False
    return found.customer == customer_id


async def _list_open(stripe: StripeGateway, customer_id: str) -> list[dict[str, Any]]:
    async with stripe.calls(), stripe_rejections():
        page = await stripe.api.invoices.list_async(
            {"customer": customer_id, "status": "open", "limit": OPEN_INVOICES_MAX}
        )
    return [invoice.to_dict() for invoice in page.data]


async def _pay(stripe: StripeGateway, invoice_id: str, method: str, key: str) -> bool:
    """Pay an invoice, unless Stripe's own retry has just done so; return whether it is paid."""
    async with stripe.calls():
        try:
            await stripe.api.invoices.pay_async(
                invoice_id, {"payment_method": method, "off_session": True}, {"idempotency_key": key}
            )
        except sdk.CardError:
            return False
        except sdk.InvalidRequestError as error:
            return error.code == "invoice_already_paid"
    return True


async def _record(work: UnitOfWork, command: m.PayOpenInvoices, attempts: Attempts) -> m.OpenInvoicesPaid:
    """Tell of the declined payments: Stripe does not count them, so that its events would not."""
    if attempts.declined:
        await require_customer(work, command.customer)  # locks it, as before every change of its invoices
    for stripe_invoice_id in attempts.declined:
        row = await invoice_by_stripe_id(work.session, stripe_invoice_id)
        if row is not None and row.status == "open":
            row.declined_at = work.now
            change_invoice(work, row, [InvoiceChange("paymentFailed", invoice_from_row(row))])
    return m.OpenInvoicesPaid(paid=attempts.paid, declined=attempts.declined)
