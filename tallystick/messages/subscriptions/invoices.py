"""Invoices, as Stripe tells them."""

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
    Told,
)
from tallystick.messages.subscriptions.types import SERVICE, InvoiceStatus


class Span(Told):
    """A stretch of time: from `start` up to but not including `end`."""

    start: Instant
    end: Instant


class InvoiceLine(Told):
    """One line of an invoice, as Stripe words it."""

    description: str | None
    amount: Amount = Field(description="In the minor unit of the invoice's currency; credits are negative.")
    quantity: Count | None
    period: Span
    proration: bool
    price: Code | None = Field(description="Null where the line has no price of our catalog.")


class InvoiceSnapshot(Told):
    """An invoice as Stripe tells it. Amounts are in the minor unit of `currency`."""

    invoice_id: EntityId
    version: PositiveCount
    customer: Customer
    subscription_id: EntityId | None
    number: str | None = Field(description="Null until it is finalized.")
    status: InvoiceStatus = Field(description="`void` also for a draft that was deleted.")
    total: Amount
    amount_due: Amount
    amount_paid: Amount
    currency: Currency
    lines: list[InvoiceLine]
    reference: str | None = Field(description="The caller's own, on one-off charges.")
    attempt_count: Count = Field(description="How often its payment has been tried.")
    hosted_invoice_url: str | None
    invoice_pdf: str | None
    stripe_invoice_id: str
    created_at: Instant


class InvoicePage(Told):
    """A page of invoices, newest first."""

    items: list[InvoiceSnapshot]
    next_cursor: str | None = None


class ListInvoices(Page, Question[InvoicePage], service=SERVICE):
    """A customer's invoices, newest first."""

    customer: Customer


class InvoiceEvent(
    Event,
    service=SERVICE,
    entity="invoice",
    names=("created", "updated", "paid", "paymentFailed", "voided"),
):
    """An invoice changed; `updated` is for what has no name of its own, such as being finalized."""

    invoice: InvoiceSnapshot
