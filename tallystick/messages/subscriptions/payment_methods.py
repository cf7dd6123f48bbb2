"""The payment method that a customer's charges go to."""

from typing import Annotated

from pydantic import Field

from tallystick.messages.base import Count, Customer, EntityId, Question, TolerantModel
from tallystick.messages.subscriptions.types import SERVICE


class PaymentMethod(TolerantModel):
    """Saved payment method, as far as its owner may be shown it."""

    type: str = Field(description="Type in Stripe, such as `card` or `sepa_debit`.")
    brand: str | None = Field(description="Brand of a card, such as `visa`; null for other types.")
    last4: str | None = Field(description="Last four digits; null for types without a number.")
    exp_month: Annotated[Count, Field(le=12)] | None = None
    exp_year: Count | None = None


class PaymentMethodFound(TolerantModel):
    """The payment method; null: none is saved, or payments are not configured."""

    payment_method: PaymentMethod | None


class GetPaymentMethod(Question[PaymentMethodFound], service=SERVICE, rejections=("not_found",)):
    """Get the payment method that pays for a subscription, or for something new."""

    customer: Customer
    subscription_id: EntityId | None = Field(
        default=None, description="Absent: the customer's default, else the one saved last."
    )
