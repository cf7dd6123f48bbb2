"""Coupons: a percentage or an amount off, once, for some months or forever."""

from __future__ import annotations

from sandbox.stripe.account import Account, Json
from sandbox.stripe.discounts import is_valid
from sandbox.stripe.faults import invalid
from sandbox.stripe.lists import page
from sandbox.stripe.parameters import LIST, decimal, integer, merge_metadata, metadata, one_of, text
from sandbox.stripe.routing import Route


def create(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/coupons`: a percentage or an amount off."""
    percent, amount = params.get("percent_off"), params.get("amount_off")
    if (percent is None) == (amount is None):
        raise invalid("You must pass either `percent_off` or `amount_off`, and not both.", "percent_off")
    if percent is not None and not 0 < float(percent) <= 100:
        raise invalid("Invalid percent_off: must be between 0 and 100.", "percent_off")
    if amount is not None and not params.get("currency"):
        raise invalid("You must pass `currency` when passing `amount_off`.", "currency", "parameter_missing")
    duration = params.get("duration") or "once"
    if (duration == "repeating") != bool(params.get("duration_in_months")):
        raise invalid(
            "`duration_in_months` is needed for `repeating`, and only for it.", "duration_in_months"
        )
    coupon_id = params.get("id") or account.new_id("c")[2:10].upper()
    if account.peek("coupon", coupon_id) is not None:
        raise invalid("Coupon already exists.", "id", "resource_already_exists")
    coupon = account.insert(
        {
            "id": coupon_id,
            "object": "coupon",
            "amount_off": amount,
            "created": account.now(),
            "currency": params["currency"].lower() if params.get("currency") else None,
            "duration": duration,
            "duration_in_months": params.get("duration_in_months"),
            "livemode": False,
            "max_redemptions": params.get("max_redemptions"),
            "metadata": merge_metadata(None, params.get("metadata")),
            "name": params.get("name"),
            "percent_off": None if percent is None else float(percent),
            "redeem_by": params.get("redeem_by"),
            "times_redeemed": 0,
            "valid": True,
            "_applies_to": params.get("applies_to"),
        }
    )
    account.emit("coupon.created", coupon)
    return coupon


def retrieve(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/coupons/{id}`."""
    coupon = account.get("coupon", ids["id"])
    return coupon if coupon.get("deleted") else {**coupon, "valid": is_valid(account, coupon)}


def update(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/coupons/{id}`: name and metadata only."""
    coupon = account.refer("coupon", ids["id"], "id")
    changes: Json = {"name": params["name"]} if "name" in params else {}
    if "metadata" in params:
        changes["metadata"] = merge_metadata(coupon["metadata"], params["metadata"])
    account.change(coupon, "coupon.updated", **changes)
    return coupon


def delete(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`DELETE /v1/coupons/{id}`: it cannot be redeemed any more; existing discounts stay."""
    coupon = account.refer("coupon", ids["id"], "id")
    account.change(coupon, None, valid=False)
    account.emit("coupon.deleted", coupon)
    account.remove(coupon)
    return {"id": coupon["id"], "object": "coupon", "deleted": True}


def list_coupons(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/coupons`."""
    return page(account.all("coupon"), params, "/v1/coupons")


_COMMON = {"name": text, "metadata": metadata}

ROUTES = [
    Route(
        "POST",
        "/v1/coupons",
        create,
        {
            **_COMMON,
            "amount_off": integer,
            "applies_to": {"products": [text]},
            "currency": text,
            "duration": one_of("forever", "once", "repeating"),
            "duration_in_months": integer,
            "id": text,
            "max_redemptions": integer,
            "percent_off": decimal,
            "redeem_by": integer,
        },
    ),
    Route("GET", "/v1/coupons", list_coupons, LIST),
    Route("GET", "/v1/coupons/{id}", retrieve, {}),
    Route("POST", "/v1/coupons/{id}", update, _COMMON),
    Route("DELETE", "/v1/coupons/{id}", delete, {}),
]
