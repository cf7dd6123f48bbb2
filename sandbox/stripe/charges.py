"""Charges of payment intents; `refunds` and `disputes` give their money back."""

from __future__ import annotations

from sandbox.stripe.account import Account, Json
from sandbox.stripe.cards import MESSAGES, error_code
from sandbox.stripe.lists import as_list, page
from sandbox.stripe.parameters import LIST, text
from sandbox.stripe.routing import Route


def new_charge(account: Account, intent: Json, method: Json, reason: str | None) -> Json:
    """Create the charge of a payment attempt; `reason` is the decline reason, or None if it was paid."""
    paid = reason is None
    charge_id = account.new_id("ch")
    charge = account.insert(
        {
            "id": charge_id,
            "object": "charge",
            "amount": intent["amount"],
            "amount_captured": intent["amount"] if paid else 0,
            "amount_refunded": 0,
            "application": None,
            "application_fee": None,
            "application_fee_amount": None,
            "balance_transaction": account.new_id("txn") if paid else None,
            "billing_details": dict(method["billing_details"]),
            "calculated_statement_descriptor": None,
            "captured": paid,
            "created": account.now(intent),
            "currency": intent["currency"],
            "customer": intent["customer"],
            "description": intent["description"],
            "disputed": False,
            "failure_balance_transaction": None,
            "failure_code": None if reason is None else error_code(reason),
            "failure_message": None if reason is None else MESSAGES[reason],
            "fraud_details": {},
            "livemode": False,
            "metadata": dict(intent["metadata"]),
            "on_behalf_of": None,
            "outcome": _outcome(reason),
            "paid": paid,
            "payment_intent": intent["id"],
            "payment_method": method["id"],
            "payment_method_details": {"card": _card(method, intent["amount"]), "type": "card"},
            "receipt_email": intent["receipt_email"],
            "receipt_number": None,
            "receipt_url": f"{account.public_url}/receipts/{charge_id}" if paid else None,
            "refunded": False,
            "refunds": as_list([], f"/v1/charges/{charge_id}/refunds"),
            "review": None,
            "shipping": None,
            "source": None,
            "source_transfer": None,
            "statement_descriptor": None,
            "statement_descriptor_suffix": None,
            "status": "succeeded" if paid else "failed",
            "transfer_data": None,
            "transfer_group": None,
        }
    )
    account.emit("charge.succeeded" if paid else "charge.failed", charge)
    return charge


def retrieve(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/charges/{id}`."""
    return account.get("charge", ids["id"])


def list_charges(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/charges`, by `customer` and `payment_intent`."""
    equals = {name: params[name] for name in ("customer", "payment_intent") if params.get(name)}
    return page(account.find("charge", **equals), params, "/v1/charges")


def _outcome(reason: str | None) -> Json:
    declined = reason is not None
    return {
        "advice_code": "try_again_later" if declined else None,
        "network_advice_code": None,
        "network_decline_code": "05" if declined else None,
        "network_status": "declined_by_network" if declined else "approved_by_network",
        "reason": reason,
        "risk_level": "normal",
        "seller_message": "The bank did not accept the payment." if declined else "Payment complete.",
        "type": "issuer_declined" if declined else "authorized",
    }


def _card(method: Json, amount: int) -> Json:
    card = method["card"]
    copied = ("brand", "checks", "country", "exp_month", "exp_year", "fingerprint", "funding", "last4")
    return {
        **{name: card[name] for name in copied},
        "amount_authorized": amount,
        "authorization_code": None,
        "extended_authorization": {"status": "disabled"},
        "incremental_authorization": {"status": "unavailable"},
        "installments": None,
        "mandate": None,
        "multicapture": {"status": "unavailable"},
        "network": card["brand"],
        "network_token": {"used": False},
        "network_transaction_id": None,
        "overcapture": {"maximum_amount_capturable": amount, "status": "unavailable"},
        "regulated_status": card["regulated_status"],
        "three_d_secure": None,
        "transaction_link_id": None,
        "wallet": None,
    }


ROUTES = [
    Route("GET", "/v1/charges", list_charges, {**LIST, "customer": text, "payment_intent": text}),
    Route("GET", "/v1/charges/{id}", retrieve, {}),
]
