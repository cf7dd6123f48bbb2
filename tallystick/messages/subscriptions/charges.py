"""One-off charges, for other services: an auto-recharge, an extra that is sold once."""

from typing import Annotated

from pydantic import Field

from tallystick.messages.base import Command, Currency, Customer, Strict, Text, Told
from tallystick.messages.subscriptions.invoices import InvoiceSnapshot
from tallystick.messages.subscriptions.types import SERVICE

CHARGE_MAX = 99_999_999
"""Eight digits of minor units: the most that Stripe takes in one payment."""


class Charge(Strict):
    """What is charged: at least one minor unit."""

    amount: Annotated[int, Field(ge=1, le=CHARGE_MAX)] = Field(description="In the currency's minor unit.")
    currency: Currency = Field(description="Lower-case ISO 4217.")


class InvoiceFound(Told):
    """An invoice."""

    invoice: InvoiceSnapshot


class ChargeCustomer(
    Command[InvoiceFound], service=SERVICE, rejections=("payment_method_required", "payment_failed")
):
    """Charge a customer's saved payment method once, at once; the invoice is paid then.

    What fails is void: it is neither tried again nor can it still be paid.
    """

    customer: Customer
    amount: Charge
    description: Annotated[Text, Field(min_length=1, max_length=500)] = Field(
        description="What the customer reads on the invoice."
    )
    reference: Annotated[Text, Field(min_length=1, max_length=500)] = Field(
        description="The caller's own; kept on the invoice here and in Stripe."
    )
