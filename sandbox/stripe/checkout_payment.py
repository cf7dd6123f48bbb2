"""Completion of a checkout session: customer, card, and payment or subscription."""

from __future__ import annotations

from sandbox.stripe import (
    checkout_taxes,
    customers,
    payment_methods,
    payments,
    setup_intents,
    subscriptions,
)
from sandbox.stripe.account import Account, Json
from sandbox.stripe.cards import TestCard


def complete(
    account: Account,
    session: Json,
    card: TestCard | None,
    *,
    email: str | None = None,
    authenticated: bool = False,
) -> None:
    """Complete an open session with a valid card (None if none is required), and emit its event."""
    customer = _customer(account, session, email)
    checkout_taxes.save(account, session, customer)
    method = _method(account, session, card, authenticated) if card is not None else None
    if session["mode"] == "setup":
        _set_up(account, session, customer, method)
    elif session["mode"] == "payment":
        _pay(account, session, customer, method)
    else:
        _subscribe(account, session, customer, method)
    details = checkout_taxes.customer_details(account, session, customer)
    session.update(
        status="complete",
        url=None,
        customer=customer and customer["id"],
        customer_details={
            "address": None,
            "business_name": None,
            "individual_name": None,
            "name": None,
            "phone": None,
            "tax_exempt": "none",
            "tax_ids": [],
            **details,
            "email": details.get("email") or email or session["customer_email"],
        },
        _awaiting=None,
    )
    account.emit("checkout.session.completed", session)


def _customer(account: Account, session: Json, email: str | None) -> Json | None:
    if session["customer"]:
        return account.refer("customer", session["customer"], "customer")
    if session["mode"] == "subscription" or session["customer_creation"] == "always":
        return customers.create_customer(account, {"email": email or session["customer_email"]})
    return None


def _method(account: Account, session: Json, card: TestCard, authenticated: bool) -> Json:
    method = payment_methods.new_method(account, card)
    method["allow_redisplay"] = "limited"
    if authenticated:
        method["_authenticated"] = True
        # This payment was authenticated on the page; later ones may require authentication again.
        method["_authenticated_once"] = session["mode"] != "setup"
    return method


def _set_up(account: Account, session: Json, customer: Json | None, method: Json | None) -> None:
    assert method is not None
    intent = account.get("setup_intent", session["setup_intent"])
    intent.update(customer=customer and customer["id"], payment_method=method["id"])
    setup_intents.attempt(account, intent, is_authenticated=method["_authenticated"])


def _pay(account: Account, session: Json, customer: Json | None, method: Json | None) -> None:
    if session["amount_total"] == 0 or method is None:
        session["payment_status"] = "no_payment_required"
        return
    data = session["_payment_intent_data"]
    intent = payments.new_intent(
        account,
        {
            **data,
            "amount": session["amount_total"],
            "currency": session["currency"],
            "customer": customer and customer["id"],
            "payment_method": method["id"],
        },
    )
    payments.attempt(account, intent)
    session.update(payment_intent=intent["id"], payment_status="paid")


def _subscribe(account: Account, session: Json, customer: Json | None, method: Json | None) -> None:
    assert customer is not None
    items = [
        {
            "price": item["price"]["id"],
            "quantity": item["quantity"],
            "metadata": item["metadata"],
            "tax_rates": [rate["id"] for rate in item["_tax_rates"]],
        }
        for item in session["_line_items"]
    ]
    recurring = [item["price"]["type"] == "recurring" for item in session["_line_items"]]
    params: Json = {
        **session["_subscription_data"],
        "customer": customer["id"],
        "items": [item for item, recurs in zip(items, recurring, strict=True) if recurs],
        "add_invoice_items": [
            {"price": item["price"], "quantity": item["quantity"], "tax_rates": item["tax_rates"]}
            for item, recurs in zip(items, recurring, strict=True)
            if not recurs
        ],
        "discounts": [
            {name: value for name, value in given.items() if value} for given in session["discounts"] or []
        ],
        "automatic_tax": {"enabled": session["automatic_tax"]["enabled"]},
        "payment_behavior": "allow_incomplete",
        "off_session": False,
    }
    if method is not None:
        payment_methods.attach_to(account, method["id"], customer)
        params["default_payment_method"] = method["id"]
    subscription = subscriptions.create_subscription(
        account, {name: value for name, value in params.items() if value not in (None, [])}
    )
    paid = session["amount_total"] > 0
    session.update(
        subscription=subscription["id"],
        invoice=subscription["latest_invoice"],
        payment_status="paid" if paid else "no_payment_required",
    )
