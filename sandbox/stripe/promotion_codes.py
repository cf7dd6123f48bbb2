"""Promotion codes, which customers enter at checkout to redeem a coupon."""

from __future__ import annotations

from sandbox.stripe.account import Account, Json
from sandbox.stripe.faults import invalid
from sandbox.stripe.lists import page
from sandbox.stripe.parameters import LIST, boolean, integer, merge_metadata, metadata, one_of, text
from sandbox.stripe.routing import Route


def create(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/promotion_codes`."""
    promotion = params["promotion"]
    if not promotion.get("coupon"):
        raise invalid("Missing required param: promotion[coupon].", "promotion[coupon]", "parameter_missing")
    coupon = account.refer("coupon", promotion["coupon"], "promotion[coupon]")
    code = params.get("code") or account.new_id("x")[2:10].upper()
    if find_code(account, code) is not None:
        raise invalid(
            "An active promotion code with this code already exists.", "code", "resource_already_exists"
        )
    if params.get("customer"):
        account.refer("customer", params["customer"], "customer")
    restrictions = {"first_time_transaction": False, "minimum_amount": None, "minimum_amount_currency": None}
    promotion_code = account.insert(
        {
            "id": account.new_id("promo"),
            "object": "promotion_code",
            "active": params.get("active", True),
            "code": code,
            "created": account.now(),
            "customer": params.get("customer"),
            "customer_account": None,
            "expires_at": params.get("expires_at"),
            "livemode": False,
            "max_redemptions": params.get("max_redemptions"),
            "metadata": merge_metadata(None, params.get("metadata")),
            "promotion": {"coupon": coupon["id"], "type": "coupon"},
            "restrictions": {**restrictions, **(params.get("restrictions") or {})},
            "times_redeemed": 0,
        }
    )
    account.emit("promotion_code.created", promotion_code)
    return promotion_code


def find_code(account: Account, code: str) -> Json | None:
    """Return the active promotion code with this text, case-insensitively."""
    for candidate in account.find("promotion_code", active=True):
        if candidate["code"].lower() == code.strip().lower():
            return candidate
    return None


def retrieve(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/promotion_codes/{id}`."""
    return account.get("promotion_code", ids["id"])


def update(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/promotion_codes/{id}`."""
    code = account.get("promotion_code", ids["id"])
    changes: Json = {"active": params["active"]} if "active" in params else {}
    if "metadata" in params:
        changes["metadata"] = merge_metadata(code["metadata"], params["metadata"])
    account.change(code, "promotion_code.updated", **changes)
    return code


def list_codes(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/promotion_codes`, by `active`, `code`, `coupon` and `customer`."""
    equals = {name: params[name] for name in ("active", "customer") if params.get(name) is not None}
    found = account.find("promotion_code", **equals)
    if params.get("code"):
        found = [code for code in found if code["code"].lower() == params["code"].lower()]
    if params.get("coupon"):
        found = [code for code in found if code["promotion"]["coupon"] == params["coupon"]]
    return page(found, params, "/v1/promotion_codes")


_RESTRICTIONS = {
    "first_time_transaction": boolean,
    "minimum_amount": integer,
    "minimum_amount_currency": text,
}

ROUTES = [
    Route(
        "POST",
        "/v1/promotion_codes",
        create,
        {
            "promotion!": {"type!": one_of("coupon"), "coupon": text},
            "active": boolean,
            "code": text,
            "customer": text,
            "expires_at": integer,
            "max_redemptions": integer,
            "metadata": metadata,
            "restrictions": _RESTRICTIONS,
        },
    ),
    Route(
        "GET",
        "/v1/promotion_codes",
        list_codes,
        {**LIST, "active": boolean, "code": text, "coupon": text, "customer": text},
    ),
    Route("GET", "/v1/promotion_codes/{id}", retrieve, {}),
    Route("POST", "/v1/promotion_codes/{id}", update, {"active": boolean, "metadata": metadata}),
]
