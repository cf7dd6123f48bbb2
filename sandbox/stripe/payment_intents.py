"""Payment intents: API routes over `payments`."""

from __future__ import annotations

from sandbox.stripe import payments
from sandbox.stripe.account import Account, Json, public
from sandbox.stripe.cards import decline
from sandbox.stripe.faults import invalid
from sandbox.stripe.lists import page
from sandbox.stripe.parameters import LIST, anything, boolean, integer, merge_metadata, metadata, one_of, text
from sandbox.stripe.routing import Route


def create(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/payment_intents`, with an immediate attempt if `confirm` is set."""
    if params.get("off_session") is not None and not params.get("confirm"):
        raise invalid("`off_session` can only be used with `confirm=true`.", "off_session")
    intent = payments.new_intent(account, params)
    intent["_return_url"] = params.get("return_url")
    return _try(account, intent, params) if params.get("confirm") else intent


def retrieve(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/payment_intents/{id}`."""
    return account.get("payment_intent", ids["id"])


def update(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/payment_intents/{id}`, before it is paid."""
    intent = account.get("payment_intent", ids["id"])
    if intent["status"] in ("succeeded", "canceled") and set(params) - {"metadata", "description"}:
        raise payments.unexpected_state(intent, "update")
    if "metadata" in params:
        intent["metadata"] = merge_metadata(intent["metadata"], params["metadata"])
    if params.get("payment_method"):
        intent.update(payment_method=params["payment_method"], status="requires_confirmation")
    for name in ("amount", "currency", "customer", "description", "receipt_email", "setup_future_usage"):
        if name in params:
            intent[name] = params[name]
    return intent


def confirm(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/payment_intents/{id}/confirm`."""
    intent = account.get("payment_intent", ids["id"])
    if params.get("return_url"):
        intent["_return_url"] = params["return_url"]
    return _try(account, intent, params, params.get("payment_method"))


def cancel(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/payment_intents/{id}/cancel`."""
    intent = account.get("payment_intent", ids["id"])
    if intent["status"] in ("succeeded", "canceled"):
        raise payments.unexpected_state(intent, "cancel")
    if intent.get("_invoice"):
        raise invalid("You cannot cancel a PaymentIntent of an invoice; void the invoice instead.")
    return cancel_intent(account, intent, params.get("cancellation_reason"))


def cancel_intent(account: Account, intent: Json, reason: str | None) -> Json:
    """Cancel an unpaid payment intent; also used for a voided invoice."""
    intent.update(
        status="canceled",
        canceled_at=account.now(intent),
        cancellation_reason=reason,
        next_action=None,
    )
    account.emit("payment_intent.canceled", intent)
    return intent


def list_intents(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/payment_intents`, by `customer`."""
    equals = {"customer": params["customer"]} if params.get("customer") else {}
    return page(account.find("payment_intent", **equals), params, "/v1/payment_intents")


def _try(account: Account, intent: Json, params: Json, method: str | None = None) -> Json:
    off_session = params.get("off_session") in (True, "true", "one_off", "recurring")
    payments.attempt(account, intent, method, off_session=off_session)
    payments.raise_if_declined(intent)
    if intent["status"] == "requires_action" and params.get("error_on_requires_action"):
        payments.authenticated(account, intent, successful=False)
        raise decline("authentication_required", payment_intent=public(intent))
    return intent


_COMMON = {
    "description": text,
    "metadata": metadata,
    "payment_method": text,
    "receipt_email": text,
    "setup_future_usage": one_of("off_session", "on_session"),
}
_CONFIRM = {
    "error_on_requires_action": boolean,
    "mandate_data": anything,
    "off_session": text,
    "payment_method": text,
    "return_url": text,
    "setup_future_usage": one_of("off_session", "on_session"),
    "use_stripe_sdk": boolean,
}
_PATH = "/v1/payment_intents/{id}"

ROUTES = [
    Route(
        "POST",
        "/v1/payment_intents",
        create,
        {
            **_COMMON,
            **_CONFIRM,
            "amount!": integer,
            "currency!": text,
            "customer": text,
            "automatic_payment_methods": {"enabled!": boolean, "allow_redirects": text},
            "capture_method": one_of("automatic", "automatic_async"),
            "confirm": boolean,
            "payment_method_types": [text],
            "payment_method_options": anything,
            "shipping": anything,
        },
    ),
    Route("GET", "/v1/payment_intents", list_intents, {**LIST, "customer": text}),
    Route("GET", _PATH, retrieve, {"client_secret": text}),
    Route("POST", _PATH, update, {**_COMMON, "amount": integer, "currency": text, "customer": text}),
    Route("POST", _PATH + "/confirm", confirm, _CONFIRM),
    Route("POST", _PATH + "/cancel", cancel, {"cancellation_reason": text}),
]
