"""Setup intents: saving a card without a payment."""

from __future__ import annotations

from sandbox.stripe import payments
from sandbox.stripe.account import Account, Json, public
from sandbox.stripe.cards import MESSAGES, decline, error_code
from sandbox.stripe.faults import invalid
from sandbox.stripe.lists import page
from sandbox.stripe.parameters import LIST, anything, boolean, merge_metadata, metadata, one_of, text
from sandbox.stripe.payment_methods import attach_to, find_method, test_card
from sandbox.stripe.routing import Route


def new_setup_intent(account: Account, params: Json) -> Json:
    """Create a setup intent without an attempt."""
    customer = account.refer("customer", params["customer"], "customer") if params.get("customer") else None
    method = find_method(account, params["payment_method"]) if params.get("payment_method") else None
    intent_id = account.new_id("seti")
    intent = account.insert(
        {
            "id": intent_id,
            "object": "setup_intent",
            "application": None,
            "automatic_payment_methods": params.get("automatic_payment_methods"),
            "cancellation_reason": None,
            "client_secret": f"{intent_id}_secret_{account.new_id('x')[2:]}",
            "created": account.now(customer),
            "customer": customer and customer["id"],
            "customer_account": None,
            "description": params.get("description"),
            "excluded_payment_method_types": None,
            "flow_directions": None,
            "last_setup_error": None,
            "latest_attempt": None,
            "livemode": False,
            "mandate": None,
            "metadata": merge_metadata(None, params.get("metadata")),
            "next_action": None,
            "on_behalf_of": None,
            "payment_method": method and method["id"],
            "payment_method_configuration_details": None,
            "payment_method_options": {"card": {"mandate_options": None, "network": None,
                                                "request_three_d_secure": "automatic"}},
            "payment_method_types": params.get("payment_method_types") or ["card"],
            "single_use_mandate": None,
            "status": "requires_confirmation" if method else "requires_payment_method",
            "usage": params.get("usage") or "off_session",
            "_return_url": params.get("return_url"),
        }
    )  # fmt: skip
    account.emit("setup_intent.created", intent)
    return intent


def attempt(account: Account, intent: Json, *, is_authenticated: bool = False) -> Json:
    """Attempt to save the card; the result is the intent's `status`."""
    if intent["payment_method"] is None:
        raise invalid(
            "You cannot confirm this SetupIntent because it's missing a payment method.", "payment_method"
        )
    method = account.get("payment_method", intent["payment_method"])
    card = test_card(method)
    if card.attach_decline is not None:
        return _fail(account, intent, card.attach_decline)
    if card.authenticate != "never" and not is_authenticated:
        action = {
            "redirect_to_url": {
                "return_url": intent.get("_return_url"),
                "url": f"{account.public_url}/authenticate/{intent['id']}",
            },
            "type": "redirect_to_url",
        }
        intent.update(status="requires_action", next_action=action)
        account.emit("setup_intent.requires_action", intent)
        return intent
    method["_authenticated"] = True
    if intent["customer"]:
        attach_to(account, method["id"], account.get("customer", intent["customer"]))
    intent.update(status="succeeded", next_action=None, last_setup_error=None)
    account.emit("setup_intent.succeeded", intent)
    return intent


def authenticated(account: Account, intent: Json, *, successful: bool) -> Json:
    """Continue after the customer has completed or failed the authentication."""
    if intent["status"] != "requires_action":
        raise payments.unexpected_state(intent, "authenticate")
    if successful:
        return attempt(account, intent, is_authenticated=True)
    error = {
        "code": "setup_intent_authentication_failure",
        "message": payments.AUTHENTICATION_FAILED,
        "type": "invalid_request_error",
    }
    intent.update(
        status="requires_payment_method", payment_method=None, next_action=None, last_setup_error=error
    )
    account.emit("setup_intent.setup_failed", intent)
    return intent


def create(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/setup_intents`, with an immediate attempt if `confirm` is set."""
    intent = new_setup_intent(account, params)
    return _try(account, intent) if params.get("confirm") else intent


def retrieve(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/setup_intents/{id}`."""
    return account.get("setup_intent", ids["id"])


def update(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/setup_intents/{id}`."""
    intent = account.get("setup_intent", ids["id"])
    if "metadata" in params:
        intent["metadata"] = merge_metadata(intent["metadata"], params["metadata"])
    if params.get("payment_method"):
        method = find_method(account, params["payment_method"])
        intent.update(payment_method=method["id"], status="requires_confirmation")
    for name in ("customer", "description"):
        if name in params:
            intent[name] = params[name]
    return intent


def confirm(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/setup_intents/{id}/confirm`."""
    intent = account.get("setup_intent", ids["id"])
    if intent["status"] in ("succeeded", "canceled"):
        raise payments.unexpected_state(intent, "confirm")
    if params.get("payment_method"):
        intent["payment_method"] = find_method(account, params["payment_method"])["id"]
    intent["_return_url"] = params.get("return_url") or intent["_return_url"]
    return _try(account, intent)


def cancel(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/setup_intents/{id}/cancel`."""
    intent = account.get("setup_intent", ids["id"])
    if intent["status"] in ("succeeded", "canceled"):
        raise payments.unexpected_state(intent, "cancel")
    intent.update(status="canceled", next_action=None, cancellation_reason=params.get("cancellation_reason"))
    account.emit("setup_intent.canceled", intent)
    return intent


def list_intents(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/setup_intents`, by `customer` and `payment_method`."""
    equals = {name: params[name] for name in ("customer", "payment_method") if params.get(name)}
    return page(account.find("setup_intent", **equals), params, "/v1/setup_intents")


def _try(account: Account, intent: Json) -> Json:
    attempt(account, intent)
    error = intent["last_setup_error"]
    if intent["status"] == "requires_payment_method" and error is not None:
        raise decline(error["decline_code"], setup_intent=public(intent))
    return intent


def _fail(account: Account, intent: Json, reason: str) -> Json:
    error = {
        "code": error_code(reason),
        "decline_code": reason,
        "message": MESSAGES[reason],
        "type": "card_error",
    }
    intent.update(status="requires_payment_method", payment_method=None, last_setup_error=error)
    account.emit("setup_intent.setup_failed", intent)
    return intent


_COMMON = {"customer": text, "description": text, "metadata": metadata, "payment_method": text}
_CONFIRM = {"mandate_data": anything, "payment_method": text, "return_url": text, "use_stripe_sdk": boolean}
_PATH = "/v1/setup_intents/{id}"

ROUTES = [
    Route(
        "POST",
        "/v1/setup_intents",
        create,
        {
            **_COMMON,
            **_CONFIRM,
            "automatic_payment_methods": {"enabled!": boolean, "allow_redirects": text},
            "confirm": boolean,
            "payment_method_types": [text],
            "payment_method_options": anything,
            "usage": one_of("off_session", "on_session"),
        },
    ),
    Route("GET", "/v1/setup_intents", list_intents, {**LIST, "customer": text, "payment_method": text}),
    Route("GET", _PATH, retrieve, {"client_secret": text}),
    Route("POST", _PATH, update, _COMMON),
    Route("POST", _PATH + "/confirm", confirm, _CONFIRM),
    Route("POST", _PATH + "/cancel", cancel, {"cancellation_reason": text}),
]
