"""Invoices, mirrored from Stripe."""

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


class InvoiceSnapshot(TolerantModel):
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
    hosted_invoice_url: str | None
    invoice_pdf: str | None
    stripe_invoice_id: str
    created_at: Instant


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
    names=("created", "updated", "paid", "paymentFailed", "voided"),
):
    """An invoice changed; `updated` covers other changes, such as being finalized."""

    invoice: InvoiceSnapshot
