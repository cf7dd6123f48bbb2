"""Payment methods: cards, created from Stripe's test tokens or test card numbers."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from sandbox.stripe.account import Account, Json
from sandbox.stripe.cards import BY_NUMBER, BY_TOKEN, TestCard, card_of, decline
from sandbox.stripe.faults import StripeFault, invalid, missing_object
from sandbox.stripe.lists import page
from sandbox.stripe.parameters import LIST, integer, merge_metadata, metadata, one_of, text
from sandbox.stripe.routing import Route

_ADDRESS = ("city", "country", "line1", "line2", "postal_code", "state")
YEARS_GOOD = 4
"""Years until a card from a token expires."""


def new_method(account: Account, card: TestCard, params: Json | None = None) -> Json:
    """Create a detached payment method of a test card."""
    params = params or {}
    given = params.get("card") or {}
    year = datetime.fromtimestamp(account.now(), UTC).year
    billing = {
        "email": None,
        "name": None,
        "phone": None,
        "tax_id": None,
        **(params.get("billing_details") or {}),
    }
    billing["address"] = {**dict.fromkeys(_ADDRESS), **(billing.get("address") or {})}
    return account.insert(
        {
            "id": account.new_id("pm"),
            "object": "payment_method",
            "allow_redisplay": "unspecified",
            "billing_details": billing,
            "card": _card_details(
                card, given.get("exp_month") or 12, given.get("exp_year") or year + YEARS_GOOD
            ),
            "created": account.now(),
            "customer": None,
            "customer_account": None,
            "livemode": False,
            "metadata": merge_metadata(None, params.get("metadata")),
            "type": "card",
            "_number": card.number,
            "_authenticated": False,
        }
    )


def test_card(method: Json) -> TestCard:
    """Return the test card of a payment method."""
    return BY_NUMBER[method["_number"]]


def find_method(account: Account, method_id: str, param: str = "payment_method") -> Json:
    """Return the payment method with this id; a `pm_card_…` name creates a new one."""
    if method_id in BY_TOKEN:
        return new_method(account, BY_TOKEN[method_id])
    return account.refer("payment_method", method_id, param)


def attach_to(account: Account, method_id: str, customer: Json) -> Json:
    """Attach a card to a customer. Raises a card error for a card that is declined on attach."""
    method = find_method(account, method_id)
    if method["customer"] == customer["id"]:
        return method
    if method["customer"] is not None:
        raise invalid(
            "The payment method you provided has already been attached to a customer.", "payment_method"
        )
    reason = test_card(method).attach_decline
    if reason is not None:
        raise decline(reason)
    account.change(method, None, customer=customer["id"])
    account.emit("payment_method.attached", method)
    return method


def default_for(account: Account, customer: Json, subscription: Json | None = None) -> str | None:
    """Return the payment method for invoices: the subscription's, else the customer's default."""
    own: str | None = (subscription or {}).get("default_payment_method")
    default: str | None = customer["invoice_settings"]["default_payment_method"]
    return own or default


def of_customer(account: Account, customer_id: str, kind: str | None = None) -> list[Json]:
    """Return a customer's payment methods, oldest first."""
    found = account.find("payment_method", customer=customer_id)
    return [method for method in found if kind in (None, method["type"])]


def create(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/payment_methods`: a card by number or by token."""
    card = params.get("card") or {}
    if card.get("token"):
        if card["token"] not in BY_TOKEN:
            raise missing_object("token", card["token"], param="card[token]", status=400)
        return new_method(account, BY_TOKEN[card["token"]], params)
    for name in ("number", "exp_month", "exp_year"):
        if card.get(name) is None:
            raise invalid(f"Missing required param: card[{name}].", f"card[{name}]", "parameter_missing")
    if not 1 <= card["exp_month"] <= 12:
        raise _card_fault("Your card's expiration month is invalid.", "invalid_expiry_month", "exp_month")
    today = datetime.fromtimestamp(account.now(), UTC)
    if (card["exp_year"], card["exp_month"]) < (today.year, today.month):
        raise _card_fault("Your card's expiration year is invalid.", "invalid_expiry_year", "exp_year")
    return new_method(account, card_of(card["number"]), params)


def retrieve(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/payment_methods/{id}`."""
    return account.get("payment_method", ids["id"])


def update(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/payment_methods/{id}`; attached cards only."""
    method = account.get("payment_method", ids["id"])
    if method["customer"] is None:
        raise invalid("You must save this PaymentMethod to a customer before you can update it.")
    changes: Json = {}
    if params.get("card"):
        changes["card"] = {**method["card"], **params["card"]}
    if params.get("billing_details"):
        changes["billing_details"] = {**method["billing_details"], **params["billing_details"]}
    if "metadata" in params:
        changes["metadata"] = merge_metadata(method["metadata"], params["metadata"])
    if params.get("allow_redisplay"):
        changes["allow_redisplay"] = params["allow_redisplay"]
    account.change(method, "payment_method.updated", **changes)
    return method


def attach(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/payment_methods/{id}/attach`."""
    return attach_to(account, ids["id"], account.refer("customer", params["customer"], "customer"))


def detach(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/payment_methods/{id}/detach`; it is removed as a default too."""
    method = account.get("payment_method", ids["id"])
    if method["customer"] is None:
        raise invalid(
            "The payment method you provided is not attached to a customer so detachment is impossible.",
            "payment_method",
        )
    customer = account.get("customer", method["customer"])
    if customer["invoice_settings"]["default_payment_method"] == method["id"]:
        settings = {**customer["invoice_settings"], "default_payment_method": None}
        account.change(customer, "customer.updated", invoice_settings=settings)
    for subscription in account.find("subscription", default_payment_method=method["id"]):
        account.change(subscription, "customer.subscription.updated", default_payment_method=None)
    account.change(method, "payment_method.detached", customer=None)
    return method


def list_methods(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/payment_methods` of a customer."""
    if not params.get("customer"):
        return page([], params, "/v1/payment_methods")
    account.refer("customer", params["customer"], "customer")
    return page(of_customer(account, params["customer"], params.get("type")), params, "/v1/payment_methods")


def _card_details(card: TestCard, month: int, year: int) -> Json:
    return {
        "brand": card.brand,
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
        "country": "US",
        "display_brand": card.brand,
        "exp_month": month,
        "exp_year": year,
        "fingerprint": hashlib.sha256(card.number.encode()).hexdigest()[:16],
        "funding": card.funding,
        "generated_from": None,
        "last4": card.last4,
        "networks": {"available": [card.brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }


def _card_fault(message: str, code: str, param: str) -> StripeFault:
    return StripeFault(message, status=402, type="card_error", code=code, param=param)


BILLING_DETAILS = {
    "address": dict.fromkeys(_ADDRESS, text), "email": text, "name": text, "phone": text, "tax_id": text,
}  # fmt: skip
_CARD = {"number": text, "exp_month": integer, "exp_year": integer, "cvc": text, "token": text}
_REDISPLAY = one_of("always", "limited", "unspecified")
_COMMON = {"billing_details": BILLING_DETAILS, "metadata": metadata, "allow_redisplay": _REDISPLAY}
_PATH = "/v1/payment_methods/{id}"

ROUTES = [
    Route("POST", "/v1/payment_methods", create, {**_COMMON, "type!": one_of("card", "link"), "card": _CARD}),
    Route("GET", "/v1/payment_methods", list_methods, {**LIST, "customer": text, "type": text}),
    Route("GET", _PATH, retrieve, {}),
    Route("POST", _PATH, update, {**_COMMON, "card": {"exp_month": integer, "exp_year": integer}}),
    Route("POST", _PATH + "/attach", attach, {"customer!": text}),
    Route("POST", _PATH + "/detach", detach, {}),
]
