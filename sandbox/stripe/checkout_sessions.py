"""Checkout sessions: created by the API, paid on a hosted page (`checkout_page`), expired after a day."""

from __future__ import annotations

from functools import partial

from sandbox.stripe import checkout_items, checkout_taxes, discounts, promotion_codes, setup_intents
from sandbox.stripe.account import Account, Action, Json
from sandbox.stripe.faults import invalid, missing_parameter
from sandbox.stripe.lists import page
from sandbox.stripe.parameters import LIST, anything, boolean, integer, merge_metadata, metadata, one_of, text
from sandbox.stripe.prices import CREATE_FIELDS
from sandbox.stripe.routing import Route

SHORTEST_SECONDS = 30 * 60
LONGEST_SECONDS = 24 * 3600
"""Stripe's limits of `expires_at`; the longest is the default."""


def create(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/checkout/sessions`."""
    _check(account, params)
    customer = account.peek("customer", params.get("customer"))
    now = account.now(customer)
    session_id = account.new_id("cs_test")
    items = checkout_items.line_items(account, params)
    session: Json = {
        **_shape(params),
        "id": session_id,
        "object": "checkout.session",
        "created": now,
        "currency": items[0]["currency"] if items else params.get("currency"),
        "customer": customer and customer["id"],
        "customer_details": _details(customer) if customer else None,
        "expires_at": _expiry(params, now),
        "metadata": merge_metadata(None, params.get("metadata")),
        "status": "open",
        "url": f"{account.public_url}/c/pay/{session_id}",
        "_line_items": items,
        "_subscription_data": params.get("subscription_data") or {},
        "_payment_intent_data": params.get("payment_intent_data") or {},
        "_awaiting": None,
    }
    if params["mode"] == "setup":
        data = {**(params.get("setup_intent_data") or {}), "customer": session["customer"]}
        session["setup_intent"] = setup_intents.new_setup_intent(account, data)["id"]
    checkout_items.total(account, session)
    return account.insert(session)


def retrieve(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/checkout/sessions/{id}`."""
    return account.get("checkout.session", ids["id"])


def update(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/checkout/sessions/{id}`: its metadata."""
    session = account.get("checkout.session", ids["id"])
    if "metadata" in params:
        session["metadata"] = merge_metadata(session["metadata"], params["metadata"])
    return session


def expire(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/checkout/sessions/{id}/expire`."""
    session = account.get("checkout.session", ids["id"])
    if session["status"] != "open":
        raise invalid(
            'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout Session has'
            " a status"
            f" of {session['status']}."
        )
    return _expire(account, session)


def list_sessions(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/checkout/sessions`, filtered by the objects of the session."""
    names = ("customer", "status", "subscription", "payment_intent")
    found = account.find("checkout.session", **{name: params[name] for name in names if params.get(name)})
    if params.get("customer_details"):
        email = params["customer_details"]["email"]
        found = [session for session in found if (session["customer_details"] or {}).get("email") == email]
    return page(found, params, "/v1/checkout/sessions")


def list_line_items(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/checkout/sessions/{id}/line_items`."""
    session = account.get("checkout.session", ids["id"])
    return page(session["_line_items"], params, _items_url(session), newest_first=False)


def line_items_of(account: Account, session: Json) -> Json:
    """Return the `line_items` of an expanded session: the first page."""
    return page(session["_line_items"], {}, _items_url(session), newest_first=False)


def due(account: Account, until: int, clock_id: str | None) -> list[tuple[int, Action]]:
    """Expire open sessions."""
    due_now: list[tuple[int, Action]] = []
    for session in account.each("checkout.session", status="open"):
        clock = account.clock_of(session)
        if session["expires_at"] <= until and (clock and clock["id"]) == clock_id:
            due_now.append((session["expires_at"], partial(_expire_by_id, account, session["id"])))
    return due_now


def apply_code(account: Account, session: Json, code: str) -> None:
    """Redeem a promotion code on an open session. Raises a fault if it cannot be redeemed."""
    found = promotion_codes.find_code(account, code)
    if found is None:
        raise invalid("This code is invalid.", "promotion_code", "promotion_code_invalid")
    discounts.resolve(account, {"promotion_code": found["id"]}, "promotion_code", session["customer"])
    session["discounts"] = [{"coupon": None, "promotion_code": found["id"]}]
    checkout_items.total(account, session)


def _check(account: Account, params: Json) -> None:
    """Raise the faults of Stripe's parameter checks."""
    mode = params["mode"]
    if not params.get("success_url"):
        raise missing_parameter("success_url")
    if params.get("customer"):
        account.refer("customer", params["customer"], "customer")
    checkout_taxes.check(account, params)
    for one, other in _EXCLUSIVE:
        if params.get(one) and params.get(other):
            raise invalid(f"You may only specify one of these parameters: {one}, {other}.", other)
    for name, only in _ONLY_IN.items():
        if params.get(name) and mode not in only:
            raise invalid(f"You can not pass `{name}` in `{mode}` mode.", name)
    for index, given in enumerate(params.get("discounts") or []):
        discounts.resolve(account, given, f"discounts[{index}]", params.get("customer"))
    days = (params.get("subscription_data") or {}).get("trial_period_days")
    if days is not None and days < 1:
        raise invalid("The minimum number of trial period days is 1.", "subscription_data[trial_period_days]")


def _expiry(params: Json, now: int) -> int:
    expires_at: int = params.get("expires_at") or now + LONGEST_SECONDS
    if expires_at < now + SHORTEST_SECONDS:
        raise invalid(
            "The `expires_at` timestamp must be at least 30 minutes from Checkout Session creation.",
            "expires_at",
        )
    if expires_at > now + LONGEST_SECONDS:
        raise invalid(
            "The `expires_at` timestamp must be less than 24 hours from Checkout Session creation.",
            "expires_at",
        )
    return expires_at


def _expire_by_id(account: Account, session_id: str) -> Json:
    return _expire(account, account.get("checkout.session", session_id))


def _expire(account: Account, session: Json) -> Json:
    session.update(status="expired", url=None)
    if session["setup_intent"]:
        account.get("setup_intent", session["setup_intent"]).update(status="canceled")
    account.emit("checkout.session.expired", session)
    return session


def _items_url(session: Json) -> str:
    return f"/v1/checkout/sessions/{session['id']}/line_items"


def _details(customer: Json) -> Json:
    return {
        "address": None,
        "business_name": None,
        "email": customer["email"],
        "individual_name": None,
        "name": None,
        "phone": None,
        "tax_exempt": "none",
        "tax_ids": None,
    }


def _shape(params: Json) -> Json:
    """Return the fields that repeat parameters, or that the stand-in leaves empty."""
    mode = params["mode"]
    given = [
        {"coupon": each.get("coupon"), "promotion_code": each.get("promotion_code")}
        for each in params.get("discounts") or []
    ]
    shape: Json = dict.fromkeys(_EMPTY) | {name: params.get(name) for name in _REPEATED}
    return shape | {
        "adaptive_pricing": {"enabled": False} if mode != "setup" else None,
        "amount_subtotal": None,
        "amount_total": None,
        **checkout_taxes.shape(params),
        "collected_information": {"business_name": None, "individual_name": None, "shipping_details": None},
        "custom_fields": [],
        "custom_text": dict.fromkeys(
            ("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")
        ),
        "customer_creation": params.get("customer_creation")
        or ("if_required" if mode == "payment" else None),
        "discounts": given,
        "invoice_creation": {"enabled": False, "invoice_data": None} if mode == "payment" else None,
        "livemode": False,
        "payment_method_collection": params.get("payment_method_collection")
        or ("always" if mode == "subscription" else "if_required"),
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": params.get("payment_method_types") or ["card"],
        "payment_status": "no_payment_required" if mode == "setup" else "unpaid",
        "phone_number_collection": {"enabled": False},
        "saved_payment_method_options": None
        if mode == "setup"
        else {
            "allow_redisplay_filters": ["always"],
            "payment_method_remove": "disabled",
            "payment_method_save": None,
        },
        "shipping_options": [],
        "total_details": None,
        "ui_mode": "hosted_page",
    }


_EXCLUSIVE = (
    ("customer", "customer_email"),
    ("customer", "customer_creation"),
    ("allow_promotion_codes", "discounts"),
)
_ONLY_IN = {
    "subscription_data": ("subscription",),
    "payment_intent_data": ("payment",),
    "setup_intent_data": ("setup",),
    "customer_creation": ("payment", "setup"),
}
_EMPTY = (
    "after_expiration", "client_secret", "consent", "currency_conversion", "customer_account",
    "integration_identifier",
    "invoice", "managed_payments", "origin_context", "payment_intent", "payment_link",
    "payment_method_configuration_details", "permissions", "recovered_from", "setup_intent",
    "shipping_address_collection",
    "shipping_cost", "subscription", "wallet_options",
)  # fmt: skip
_REPEATED = (
    "allow_promotion_codes", "billing_address_collection", "cancel_url", "client_reference_id",
    "consent_collection",
    "customer_email", "locale", "mode", "submit_type", "success_url",
)  # fmt: skip
_TRIAL_END = {"end_behavior!": {"missing_payment_method!": one_of("cancel", "create_invoice", "pause")}}
_LINE_ITEM = {
    "metadata": metadata,
    "price": text,
    "price_data": {
        name: CREATE_FIELDS[name]
        for name in ("currency!", "product", "product_data", "recurring", "tax_behavior", "unit_amount",
                     "unit_amount_decimal")
    },
    "quantity": integer,
    "adjustable_quantity": anything,
    "tax_rates": [text],
}  # fmt: skip
_CREATE = {
    "allow_promotion_codes": boolean,
    "automatic_tax": {"enabled!": boolean, "liability": anything},
    "billing_address_collection": one_of("auto", "required"),
    "cancel_url": text,
    "client_reference_id": text,
    "consent_collection": anything,
    "currency": text,
    "customer": text,
    "customer_creation": one_of("always", "if_required"),
    "customer_email": text,
    **checkout_taxes.FIELDS,
    "discounts": [{"coupon": text, "promotion_code": text}],
    "expires_at": integer,
    "line_items": [_LINE_ITEM],
    "locale": text,
    "metadata": metadata,
    "mode!": one_of("payment", "setup", "subscription"),
    "payment_intent_data": {
        "description": text,
        "metadata": metadata,
        "receipt_email": text,
        "setup_future_usage": one_of("off_session", "on_session"),
    },
    "payment_method_collection": one_of("always", "if_required"),
    "payment_method_types": [text],
    "setup_intent_data": {"description": text, "metadata": metadata},
    "submit_type": text,
    "subscription_data": {
        "billing_cycle_anchor": integer,
        "default_tax_rates": [text],
        "description": text,
        "metadata": metadata,
        "proration_behavior": one_of("create_prorations", "none"),
        "trial_end": integer,
        "trial_period_days": integer,
        "trial_settings": _TRIAL_END,
    },
    "success_url": text,
    "ui_mode": one_of("hosted_page"),
}
_PATH = "/v1/checkout/sessions/{id}"
_LIST = {**LIST, "customer": text, "status": one_of("complete", "expired", "open"), "subscription": text,
         "payment_intent": text, "customer_details": {"email!": text}}  # fmt: skip

INCLUDES = {("checkout.session", "line_items"): line_items_of}
ROUTES = [
    Route("POST", "/v1/checkout/sessions", create, _CREATE),
    Route("GET", "/v1/checkout/sessions", list_sessions, _LIST),
    Route("GET", _PATH, retrieve, {}),
    Route("POST", _PATH, update, {"metadata": metadata}),
    Route("POST", _PATH + "/expire", expire, {}),
    Route("GET", _PATH + "/line_items", list_line_items, LIST),
]
