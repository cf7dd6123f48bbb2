"""Rules of payment links: who a payer is, and whether a payment is accepted."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from services.subscriptions.domain.stripe_objects import Json, Malformed, reference_id

CUSTOMER_KEY = "customer"
"""Key of a link's metadata that names who buys."""
_TOKEN = re.compile(r"(?:(user|organization)_)?([A-Za-z0-9-]{1,64})")

Reason = Literal["already_subscribed", "uses_exceeded"]


@dataclass(frozen=True, slots=True)
class LinkPayment:
    """A completed checkout session of a payment link."""

    stripe_checkout_id: str
    stripe_payment_link_id: str
    stripe_customer_id: str
    stripe_subscription_id: str | None
    stripe_invoice_id: str | None
    client_reference_id: str | None
    metadata: Mapping[str, str]
    email: str | None
    name: str | None


def read_link_payment(body: Json) -> LinkPayment | None:
    """Read a completed session; None if it is not one of a payment link. Raises Malformed."""
    link = reference_id(body.get("payment_link"))
    if link is None:
        return None
    session_id, customer = body.get("id"), reference_id(body.get("customer"))
    if not isinstance(session_id, str):
        raise Malformed("the checkout session has no id")
    if customer is None:
        return None
    details = body.get("customer_details") or {}
    return LinkPayment(
        stripe_checkout_id=session_id,
        stripe_payment_link_id=link,
        stripe_customer_id=customer,
        stripe_subscription_id=reference_id(body.get("subscription")),
        stripe_invoice_id=reference_id(body.get("invoice")),
        client_reference_id=body.get("client_reference_id"),
        metadata=body.get("metadata") or {},
        email=details.get("email") or body.get("customer_email"),
        name=details.get("name"),
    )


def named_customer(payment: LinkPayment, of_link: str | None) -> str | None:
    """Return the token of the customer that the link or the payment names; None: nobody is named.

    A bare id is a user's. What is not a customer's id is ignored: the query of a link is anybody's to change.
    """
    for named in (of_link, payment.client_reference_id, payment.metadata.get(CUSTOMER_KEY)):
        found = _TOKEN.fullmatch(str(named)) if named else None
        if found is not None:
            return f"{found[1] or 'user'}_{found[2]}"
    return None


def refusal(*, has_plan: bool, uses: int, uses_max: int | None) -> Reason | None:
    """Return why a payment is refunded and its subscription canceled; None: it is accepted."""
    if has_plan:
        return "already_subscribed"
    return "uses_exceeded" if uses_max is not None and uses >= uses_max else None


def stripe_link_parameters(
    lines: list[dict[str, Any]], *, after_url: str | None, metadata: Mapping[str, str], uses: int | None
) -> dict[str, Any]:
    """Return Stripe's parameters of a link."""
    params: dict[str, Any] = {"line_items": lines, "metadata": dict(metadata)}
    if after_url is not None:
        params["after_completion"] = {"type": "redirect", "redirect": {"url": after_url}}
    if uses is not None:
        params["restrictions"] = {"completed_sessions": {"limit": uses}}
    return params
