"""One-off charges, for other services: an auto-recharge, or an extra that is sold once."""

from typing import Annotated

from pydantic import Field

from tallystick.messages.base import (
    Code,
    Command,
    Currency,
    Customer,
    Question,
    Strict,
    StripeId,
    Text,
    TolerantModel,
)
from tallystick.messages.subscriptions.changes import PreviewTotals
from tallystick.messages.subscriptions.invoices import InvoiceSnapshot
from tallystick.messages.subscriptions.types import SERVICE

CHARGE_MAX = 99_999_999
"""Stripe's limit of one payment: eight digits of minor units."""


class Charge(Strict):
    """Amount to charge: at least one minor unit."""

    amount: Annotated[int, Field(ge=1, le=CHARGE_MAX)] = Field(
        description="Amount in the currency's minor unit."
    )
    currency: Currency = Field(description="Lower-case ISO 4217 code.")


class OpenInvoicesPaid(TolerantModel):
    """Stripe ids of the invoices that were paid, and of those whose payment was declined."""

    paid: list[StripeId]
    declined: list[StripeId]


class PayOpenInvoices(Command[OpenInvoicesPaid], service=SERVICE):
    """Pay a customer's open invoices that are collected automatically, with a saved payment method.

    Sent for every new default payment method; `paymentFailedV1` tells of a declined one.
    """

    customer: Customer
    payment_method: StripeId = Field(description="Stripe's id of the payment method, `pm_…`.")


class InvoiceFound(TolerantModel):
    """Invoice of the charge."""

    invoice: InvoiceSnapshot


class ChargeCustomer(
    Command[InvoiceFound],
    service=SERVICE,
    rejections=("payment_method_required", "payment_failed", "tax_location_required"),
):
    """Charge a customer's saved payment method once, immediately, with an invoice.

    If the payment fails, the invoice is voided: it is not retried and can no longer be paid.
    """

    customer: Customer
    amount: Charge
    description: Annotated[Text, Field(min_length=1, max_length=500)] = Field(
        description="Description on the invoice."
    )
    reference: Annotated[Text, Field(min_length=1, max_length=500)] = Field(
        description="Caller's reference; stored on the invoice here and in Stripe."
    )
    feature: Code | None = Field(
        default=None,
        description="Feature that is charged for; its tax rates apply. Absent: the default tax rates.",
    )


class ChargePreview(TolerantModel):
    """Cost of a charge. Nothing has been charged."""

    currency: Currency
    totals: PreviewTotals = Field(
        description="Net amount, tax and total; the customer's credit balance, which lowers it, is left out."
    )


class PreviewCharge(
    Question[ChargePreview],
    service=SERVICE,
    rejections=("not_found", "payment_method_required", "payments_not_configured"),
):
    """Preview a one-off charge, such as that of a recharge, with its tax."""

    customer: Customer
    amount: Charge
    feature: Code | None = Field(
        default=None,
        description="Feature that is charged for; its tax rates apply. Absent: the default tax rates.",
    )
