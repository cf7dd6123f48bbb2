"""Invoices, mirrored from Stripe."""

from typing import Literal

from pydantic import Field

from tallystick.messages.base import (
    Amount,
    Code,
    Count,
    Currency,
    Customer,
    EntityId,
    Event,
    Instant,
    Page,
    PositiveCount,
    Question,
    TolerantModel,
)
from tallystick.messages.subscriptions.types import SERVICE, InvoiceStatus


class Span(TolerantModel):
    """Time interval: `start` is included, `end` is not."""

    start: Instant
    end: Instant


class InvoiceTax(TolerantModel):
    """Tax of an invoice, or of one of its lines, by one rate."""

    amount: Amount = Field(description="Tax in the minor unit of the invoice's currency; 0 if none is due.")
    taxable_amount: Amount | None = Field(description="Net amount on which the tax is calculated.")
    inclusive: bool = Field(description="Whether the prices include the tax, instead of it being added.")
    reason: str | None = Field(
        default=None,
        examples=["standard_rated"],
        description="Stripe's `taxability_reason`, such as `standard_rated`, `reverse_charge` (the customer"
        " accounts for the tax) or `not_collecting`.",
    )
    tax_rate: Code | None = Field(default=None, description="Code of the catalog's tax rate, if it is one.")
    display_name: str | None = Field(default=None, description="Name of the tax, such as `VAT`.")
    percentage: str | None = Field(default=None, description="Rate in percent, such as `19` or `8.875`.")
    country: str | None = Field(default=None, description="ISO 3166 code of the country that levies it.")
    stripe_tax_rate_id: str | None = None


class InvoiceAmounts(TolerantModel):
    """Net amount and tax of an invoice; with the tax, the net amount is the total."""

    subtotal: Amount | None = Field(
        default=None,
        description="Sum of the lines before discounts, with taxes that prices include; null in old events.",
    )
    discount: Amount = Field(default=0, description="Sum of all discounts; never negative.")
    total_excluding_tax: Amount | None = Field(
        default=None,
        description="Net amount, after discounts and without any tax: what counts as revenue; null in old"
        " events.",
    )
    tax: Amount = Field(default=0, description="Sum of all taxes, included in prices or added to them.")
    taxes: list[InvoiceTax] = Field(default=[], description="The tax by rate.")


class InvoiceLine(TolerantModel):
    """Line of an invoice, with Stripe's description."""

    description: str | None
    amount: Amount = Field(
        description="Amount in the minor unit of the invoice's currency; credits are negative."
    )
    quantity: Count | None
    period: Span
    proration: bool
    price: Code | None = Field(description="Price code; null if the line has no price of the catalog.")
    product: Code | None = Field(
        default=None, description="Product code; null if the line has no product of the catalog."
    )
    net: Amount | None = Field(
        default=None, description="Amount after discounts and without any tax; null in old events."
    )
    tax: Amount = Field(default=0, description="Tax of the line, included in `amount` or added to it.")
    taxes: list[InvoiceTax] = Field(default=[], description="The line's tax by rate.")
    credit: Literal["unused"] | None = Field(
        default=None, description="`unused`: credit for paid time that is not used; null: a charge."
    )


class InvoiceSnapshot(InvoiceAmounts):
    """Snapshot of a Stripe invoice. Amounts are in the minor unit of `currency`."""

    invoice_id: EntityId
    version: PositiveCount
    customer: Customer
    subscription_id: EntityId | None
    number: str | None = Field(description="Invoice number; null until it is finalized.")
    status: InvoiceStatus = Field(description="A deleted draft is `void` too.")
    total: Amount
    amount_due: Amount
    amount_paid: Amount
    currency: Currency
    lines: list[InvoiceLine]
    reference: str | None = Field(description="Caller's reference of a one-off charge.")
    attempt_count: Count = Field(description="Number of payment attempts.")
    declined_at: Instant | None = Field(
        default=None,
        description="Time at which a new payment method was declined too; null: it was not, or paid since.",
    )
    hosted_invoice_url: str | None
    invoice_pdf: str | None
    stripe_invoice_id: str
    created_at: Instant
    amount_refunded: Amount = Field(
        default=0, description="Sum of the refunds so far; a refund that failed does not count."
    )
    disputed: bool = Field(
        default=False, description="Whether a dispute holds the payment: one is open, or was lost."
    )
    amount_disputed: Amount = Field(
        default=0,
        description="Sum of the disputes that are open or were lost; a dispute that was won is out.",
    )
    amount_charged_back: Amount = Field(
        default=0, description="Sum of the disputes that were lost; part of `amount_disputed`."
    )
    amount_credited: Amount = Field(
        default=0, description="Sum of Stripe's credit notes, before and after the payment."
    )


class InvoicePage(TolerantModel):
    """Page of invoices, newest first."""

    items: list[InvoiceSnapshot]
    next_cursor: str | None = None


class ListInvoices(Page, Question[InvoicePage], service=SERVICE):
    """List a customer's invoices, newest first."""

    customer: Customer


class InvoiceEvent(
    Event,
    service=SERVICE,
    entity="invoice",
    names=(
        "created",
        "updated",
        "paid",
        "paymentFailed",
        "paymentActionRequired",
        "voided",
        "refunded",
        "disputed",
        "disputeClosed",
    ),
):
    """An invoice changed; `updated` covers other changes, such as being finalized.

    `refunded`: `amount_refunded` has grown. `disputeClosed`: `disputed` tells whether it was lost.
    """

    invoice: InvoiceSnapshot
