"""`bill_overage`: units beyond the included ones, on the draft of a renewal or on an invoice of their own.

Every step first looks for what an earlier run has made, by the metadata of invoice items and invoices, so
that a run after a crash continues there.
"""

from typing import Any

import stripe as stripe_sdk
from pydantic import BaseModel, ConfigDict, Field

from services.subscriptions.charges.charge_tax import ChargeTax, charge_tax
from services.subscriptions.charges.stripe_invoice import CHARGE_ID_KEY, RECENT_INVOICES, Keys
from services.subscriptions.domain.invoices import REFERENCE_KEY
from services.subscriptions.domain.stripe_objects import Json
from services.subscriptions.domain.tax_settings import TaxSettings
from services.subscriptions.rejections import require_customer
from services.subscriptions.repository.catalog import load_catalog
from services.subscriptions.repository.subscriptions import find_subscription
from services.subscriptions.service import service
from services.subscriptions.stripe.client import StripeGateway, stripe_rejections
from shared.errors import Rejected
from shared.messaging.external_command import ExternalCommandSteps
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m

LINE_KEY = "tallystick_overage_line"
"""Metadata key of an invoice item: its number on the charge."""
DUE_DAYS = 30
"""Days to pay an invoice that is sent."""


class OverageIntent(BaseModel):
    """Lines to invoice, with amounts in the currency's minor unit."""

    model_config = ConfigDict(frozen=True)

    charge_id: str
    stripe_customer_id: str
    stripe_subscription_id: str | None
    is_sent: bool
    """Whether the customer is sent invoices instead of being charged."""
    currency: str
    lines: list[tuple[str, int, list[str]]]
    """Description, amount and Stripe tax rates."""
    tax_behaviors: list[str | None] = Field(default=[])
    """For each line whether its amount includes tax; empty: planned by a version that did not say so."""

    def tax(self, number: int) -> ChargeTax:
        """Return how a line is taxed."""
        behavior = self.tax_behaviors[number] if self.tax_behaviors else None
        return ChargeTax(self.lines[number][2], behavior)


@service.external_command(m.BillOverage)
async def bill_overage(
    steps: ExternalCommandSteps, command: m.BillOverage, stripe: StripeGateway
) -> m.OverageBilled:
    """Plan the lines, and put them on an invoice."""
    stripe.require()
    intent = await steps.intend(lambda work: plan_lines(work, command), OverageIntent)
    return m.OverageBilled(stripe_invoice_id=await bill_in_stripe(stripe, intent, steps.key))


async def plan_lines(work: UnitOfWork, command: m.BillOverage) -> OverageIntent:
    """Find whom to invoice and how; raises Rejected `not_found` and `no_stripe_customer`."""
    customer = await require_customer(work, command.customer)
    if customer.stripe_customer_id is None:
        raise Rejected(
            "no_stripe_customer",
            "Stripe does not know the customer, so that nothing can be invoiced.",
            {"customer": customer.customer},
        )
    catalog = await load_catalog(work)
    taxes = [charge_tax(catalog, line.feature) for line in command.lines]
    subscription = await find_subscription(work.session, command.subscription_id)
    return OverageIntent(
        charge_id=command.reference,
        stripe_customer_id=customer.stripe_customer_id,
        stripe_subscription_id=subscription.stripe_subscription_id if subscription else None,
        is_sent=subscription is not None and subscription.collection == "invoice",
        currency=command.currency,
        lines=[
            (line.description, line.quantity * line.unit_amount, tax.rates)
            for line, tax in zip(command.lines, taxes, strict=True)
        ],
        tax_behaviors=[tax.behavior for tax in taxes],
    )


async def bill_in_stripe(gateway: StripeGateway, intent: OverageIntent, keys: Keys) -> str:
    """Put the lines on an invoice and return Stripe's id of it."""
    placed = await _placed_lines(gateway, intent)
    missing = [number for number in range(len(intent.lines)) if number not in placed]
    draft = await _renewal_draft(gateway, intent) if missing else None
    if draft is not None:
        missing = await _place(gateway, intent, missing, draft, keys)
    own = await _own_invoice(gateway, intent, keys, is_needed=bool(missing))
    if own is not None and own["status"] == "draft":
        await _place(gateway, intent, missing, own, keys)
        async with gateway.calls(), stripe_rejections():
            await gateway.api.invoices.finalize_invoice_async(
                own["id"], {"auto_advance": True}, {"idempotency_key": keys("finalize")}
            )
    chosen = own or draft
    return str(chosen["id"] if chosen is not None else next(iter(placed.values())))


async def _placed_lines(gateway: StripeGateway, intent: OverageIntent) -> dict[int, str]:
    """Return the invoices of lines that an earlier run has made."""
    async with gateway.calls(), stripe_rejections():
        page = await gateway.api.invoice_items.list_async(
            {"customer": intent.stripe_customer_id, "limit": RECENT_INVOICES}
        )
    items = [item.to_dict() for item in page.data]
    return {
        int(item["metadata"][LINE_KEY]): str(item["invoice"])
        for item in items
        if (item.get("metadata") or {}).get(CHARGE_ID_KEY) == intent.charge_id
    }


async def _renewal_draft(gateway: StripeGateway, intent: OverageIntent) -> Json | None:
    """Find the invoice of the renewal, which is a draft for an hour for this purpose."""
    if intent.stripe_subscription_id is None:
        return None
    async with gateway.calls(), stripe_rejections():
        page = await gateway.api.invoices.list_async(
            {"subscription": intent.stripe_subscription_id, "status": "draft", "limit": 10}
        )
    drafts = [invoice.to_dict() for invoice in page.data]
    return next((each for each in drafts if each["currency"] == intent.currency), None)


async def _place(
    gateway: StripeGateway, intent: OverageIntent, numbers: list[int], invoice: Json, keys: Keys
) -> list[int]:
    """Add lines to a draft, taxed in its way; return those for which it was too late."""
    is_automatic = (invoice.get("automatic_tax") or {}).get("enabled") is True
    tax = TaxSettings("stripe_automatic" if is_automatic else "none")
    late = []
    for number in numbers:
        description, amount, _ = intent.lines[number]
        params: dict[str, Any] = {
            "customer": intent.stripe_customer_id,
            "invoice": invoice["id"],
            "amount": amount,
            "currency": intent.currency,
            "description": description,
            "metadata": {CHARGE_ID_KEY: intent.charge_id, LINE_KEY: str(number)},
            **intent.tax(number).item_params(tax),
        }
        async with gateway.calls():
            try:
                await gateway.api.invoice_items.create_async(
                    params,  # type: ignore[arg-type]
                    {"idempotency_key": keys(f"item:{invoice['id']}:{number}")},
                )
            except stripe_sdk.InvalidRequestError as error:
                if error.code != "invoice_not_editable":
                    raise
                late.append(number)
    return late


async def _own_invoice(
    gateway: StripeGateway, intent: OverageIntent, keys: Keys, *, is_needed: bool
) -> Json | None:
    """Find the invoice that an earlier run has made for these lines alone, or make it if it is needed."""
    async with gateway.calls(), stripe_rejections():
        page = await gateway.api.invoices.list_async(
            {"customer": intent.stripe_customer_id, "limit": RECENT_INVOICES}
        )
        for found in (invoice.to_dict() for invoice in page.data):
            if (found.get("metadata") or {}).get(CHARGE_ID_KEY) == intent.charge_id:
                return found
        if not is_needed:
            return None
        params: dict[str, Any] = {
            "customer": intent.stripe_customer_id,
            "currency": intent.currency,
            "auto_advance": True,
            "pending_invoice_items_behavior": "exclude",
            "metadata": {CHARGE_ID_KEY: intent.charge_id, REFERENCE_KEY: intent.charge_id},
            **gateway.tax.of_owner(),
        }
        params |= (
            {"collection_method": "send_invoice", "days_until_due": DUE_DAYS}
            if intent.is_sent
            else {"collection_method": "charge_automatically"}
        )
        made = await gateway.api.invoices.create_async(
            params,  # type: ignore[arg-type]
            {"idempotency_key": keys("invoice")},
        )
    return made.to_dict()
