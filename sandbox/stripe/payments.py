"""Card payments: succeeded, declined, or waiting for authentication.

Used by payment intents (the API), invoices and checkout. An invoice's payment intent has the invoice id in
its private field `_invoice`, where the listeners of `payment_intent.succeeded` and
`payment_intent.payment_failed` find it.
"""

from __future__ import annotations

from sandbox.stripe import charges
from sandbox.stripe.account import Account, Json, public
from sandbox.stripe.cards import MESSAGES, decline, error_code
from sandbox.stripe.faults import invalid
from sandbox.stripe.payment_methods import attach_to, find_method, test_card

AUTHENTICATION_FAILED = (
    "We are unable to authenticate your payment method."
    " Please choose a different payment method and try again."
)

_OPTIONS = {
    "card": {
        "installments": None,
        "mandate_options": None,
        "network": None,
        "request_three_d_secure": "automatic",
    }
}


def new_intent(account: Account, params: Json, invoice: str | None = None) -> Json:
    """Create a payment intent without an attempt. Takes the parameters of `POST /v1/payment_intents`."""
    customer = account.refer("customer", params["customer"], "customer") if params.get("customer") else None
    if params["amount"] <= 0:
        raise invalid("Invalid positive integer", "amount", "parameter_invalid_integer")
    method = _usable(account, params["payment_method"], customer) if params.get("payment_method") else None
    intent_id = account.new_id("pi")
    intent: Json = account.insert(
        {
            "id": intent_id,
            "object": "payment_intent",
            "amount": params["amount"],
            "amount_capturable": 0,
            "amount_details": {"tip": {}},
            "amount_received": 0,
            "application": None,
            "application_fee_amount": None,
            "automatic_payment_methods": params.get("automatic_payment_methods"),
            "canceled_at": None,
            "cancellation_reason": None,
            "capture_method": params.get("capture_method") or "automatic",
            "client_secret": f"{intent_id}_secret_{account.new_id('x')[2:]}",
            "confirmation_method": "automatic",
            "created": account.now(customer),
            "currency": params["currency"].lower(),
            "customer": customer and customer["id"],
            "customer_account": None,
            "description": params.get("description"),
            "excluded_payment_method_types": None,
            "last_payment_error": None,
            "latest_charge": None,
            "livemode": False,
            "managed_payments": None,
            "metadata": {key: value for key, value in (params.get("metadata") or {}).items() if value != ""},
            "next_action": None,
            "on_behalf_of": None,
            "payment_method": method and method["id"],
            "payment_method_configuration_details": None,
            "payment_method_options": _OPTIONS,
            "payment_method_types": params.get("payment_method_types") or ["card"],
            "processing": None,
            "receipt_email": params.get("receipt_email"),
            "review": None,
            "setup_future_usage": params.get("setup_future_usage"),
            "shipping": params.get("shipping"),
            "source": None,
            "statement_descriptor": None,
            "statement_descriptor_suffix": None,
            "status": "requires_confirmation" if method else "requires_payment_method",
            "transfer_data": None,
            "transfer_group": None,
            "_invoice": invoice,
        }
    )
    account.emit("payment_intent.created", intent)
    return intent


def start_payment(
    account: Account,
    *,
    amount: int,
    currency: str,
    customer: str,
    payment_method: str | None,
    description: str | None = None,
    metadata: dict[str, str] | None = None,
    off_session: bool = True,
    invoice: str | None = None,
) -> Json:
    """Create a payment intent and attempt it if there is a payment method.

    A decline does not raise; see the intent's `status`.
    """
    params = {
        "amount": amount,
        "currency": currency,
        "customer": customer,
        "payment_method": payment_method,
        "description": description,
        "metadata": metadata,
    }
    intent = new_intent(account, params, invoice)
    return attempt(account, intent, off_session=off_session) if payment_method else intent


def attempt(
    account: Account, intent: Json, payment_method: str | None = None, *, off_session: bool = False
) -> Json:
    """Attempt a payment, optionally with another payment method. The result is the intent's `status`.

    `off_session`: the customer is not present, so a card that requires authentication is declined.
    """
    if intent["status"] in ("succeeded", "canceled"):
        raise unexpected_state(intent, "confirm")
    customer = account.get("customer", intent["customer"]) if intent["customer"] else None
    if payment_method is not None:
        intent["payment_method"] = _usable(account, payment_method, customer)["id"]
    if intent["payment_method"] is None:
        raise invalid(
            "You cannot confirm this PaymentIntent because it's missing a payment method.", "payment_method"
        )
    method = account.get("payment_method", intent["payment_method"])
    card = test_card(method)
    once = method.pop("_authenticated_once", False)
    if card.authenticate == "always" or (card.authenticate == "setup" and not method["_authenticated"]):
        if once:
            return _settle(account, intent, method, card.charge_decline)
        if off_session:
            return _settle(account, intent, method, "authentication_required")
        return _ask_authentication(account, intent)
    return _settle(account, intent, method, card.charge_decline)


def authenticated(account: Account, intent: Json, *, successful: bool) -> Json:
    """Continue a payment after the customer has completed or failed the authentication."""
    if intent["status"] != "requires_action":
        raise unexpected_state(intent, "authenticate")
    method = account.get("payment_method", intent["payment_method"])
    if successful:
        method["_authenticated"] = True
        return _settle(account, intent, method, test_card(method).charge_decline)
    error = {
        "code": "payment_intent_authentication_failure",
        "doc_url": "https://stripe.com/docs/error-codes/payment-intent-authentication-failure",
        "message": AUTHENTICATION_FAILED,
        "payment_method": public(method),
        "type": "invalid_request_error",
    }
    intent.update(
        status="requires_payment_method", next_action=None, last_payment_error=error, payment_method=None
    )
    account.emit("payment_intent.payment_failed", intent)
    return intent


def raise_if_declined(intent: Json) -> None:
    """Raise the card error of a confirmation that was declined."""
    error = intent["last_payment_error"]
    if intent["status"] == "requires_payment_method" and error is not None and error["type"] == "card_error":
        raise decline(error["decline_code"], charge=intent["latest_charge"], payment_intent=public(intent))


def unexpected_state(intent: Json, action: str) -> Exception:
    """Return the fault of an action that the intent's status does not allow."""
    name = "PaymentIntent" if intent["object"] == "payment_intent" else "SetupIntent"
    kind = intent["object"]
    fault = invalid(
        f"You cannot {action} this {name} because it has a status of {intent['status']}.",
        code=f"{kind}_unexpected_state",
    )
    fault.objects[kind] = public(intent)
    return fault


def _usable(account: Account, method_id: str, customer: Json | None) -> Json:
    """Return the payment method if this customer may use it."""
    method = find_method(account, method_id)
    if method["customer"] is not None and method["customer"] != (customer and customer["id"]):
        raise invalid(
            f"The provided PaymentMethod ({method['id']}) belongs to a Customer; supply that `customer`"
            " with it.",
            "payment_method",
        )
    return method


def _ask_authentication(account: Account, intent: Json) -> Json:
    url = f"{account.public_url}/authenticate/{intent['id']}"
    action = {
        "redirect_to_url": {"return_url": intent.get("_return_url"), "url": url},
        "type": "redirect_to_url",
    }
    intent.update(status="requires_action", next_action=action, last_payment_error=None)
    account.emit("payment_intent.requires_action", intent)
    return intent


def _settle(account: Account, intent: Json, method: Json, reason: str | None) -> Json:
    charge = charges.new_charge(account, intent, method, reason)
    intent.update(latest_charge=charge["id"], next_action=None)
    if reason is None:
        intent.update(status="succeeded", amount_received=intent["amount"], last_payment_error=None)
        if intent["setup_future_usage"] and intent["customer"] and method["customer"] is None:
            attach_to(account, method["id"], account.get("customer", intent["customer"]))
        account.emit("payment_intent.succeeded", intent)
        return intent
    error = {
        "advice_code": "try_again_later",
        "charge": charge["id"],
        "code": error_code(reason),
        "decline_code": reason,
        "doc_url": "https://stripe.com/docs/error-codes/" + error_code(reason).replace("_", "-"),
        "message": MESSAGES[reason],
        "payment_method": public(method),
        "type": "card_error",
    }
    intent.update(status="requires_payment_method", payment_method=None, last_payment_error=error)
    account.emit("payment_intent.payment_failed", intent)
    return intent
