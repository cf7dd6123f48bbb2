"""The question for the payment method that a customer's charges go to."""

from collections.abc import Mapping
from typing import Any

from services.subscriptions.lifecycle.stripe_mutation import not_found
from services.subscriptions.repository.subscriptions import find_customer, find_subscription
from services.subscriptions.service import service
from services.subscriptions.stripe.client import StripeGateway
from services.subscriptions.stripe.payment_methods import payment_method_of
from shared.errors import Rejected
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m


@service.question(m.GetPaymentMethod)
async def get_payment_method(
    work: UnitOfWork, question: m.GetPaymentMethod, stripe: StripeGateway
) -> m.PaymentMethodFound:
    """Return the payment method as Stripe has it now; raises Rejected `not_found`."""
    customer = await find_customer(work.session, question.customer.token)
    if customer is None:
        raise Rejected(
            "not_found",
            f"{question.customer.token} is not registered.",
            {"customer": question.customer.token},
        )
    stripe_subscription_id = None
    if question.subscription_id is not None:
        row = await find_subscription(work.session, question.subscription_id)
        if row is None or row.customer != customer.customer:
            raise not_found(question.subscription_id)
        stripe_subscription_id = row.stripe_subscription_id
    if customer.stripe_customer_id is None or not stripe.configured:
        return m.PaymentMethodFound(payment_method=None)
    method = await payment_method_of(stripe, customer.stripe_customer_id, stripe_subscription_id)
    return m.PaymentMethodFound(payment_method=read_payment_method(method) if method else None)


def read_payment_method(body: Mapping[str, Any]) -> m.PaymentMethod:
    """Read what may be shown of a payment method from Stripe's JSON."""
    kind = str(body.get("type"))
    facts = body.get(kind) or {}
    return m.PaymentMethod(
        type=kind,
        brand=facts.get("brand"),
        last4=facts.get("last4"),
        exp_month=facts.get("exp_month"),
        exp_year=facts.get("exp_year"),
    )
