"""Prices: per unit or tiered, one-off or recurring. Their amounts never change."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sandbox.stripe import products
from sandbox.stripe.account import Account, Json
from sandbox.stripe.faults import invalid, missing_parameter
from sandbox.stripe.lists import page
from sandbox.stripe.parameters import (
    LIST,
    boolean,
    decimal,
    integer,
    integer_or,
    merge_metadata,
    metadata,
    one_of,
    text,
)
from sandbox.stripe.routing import Route

LONGEST_INTERVAL = {"day": 1095, "week": 156, "month": 36, "year": 3}
"""Stripe's limit: three years between two bills."""
MAX_LOOKUP_KEYS = 10


def create_price(account: Account, params: Json) -> Json:
    """Create a price, and its product with `product_data`.

    `transfer_lookup_key` moves the key from another price.
    """
    product_id = _product(account, params)
    recurring = _recurring(params.get("recurring"))
    tiers = _tiers(params)
    unit_amount, unit_decimal = (None, None) if tiers else _amount(params, "unit_amount", required=True)
    price: Json = {
        "id": account.new_id("price"),
        "object": "price",
        "active": params.get("active", True),
        "billing_scheme": params.get("billing_scheme") or "per_unit",
        "created": account.now(),
        "currency": params["currency"].lower(),
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": None,
        "metadata": merge_metadata(None, params.get("metadata")),
        "nickname": params.get("nickname"),
        "product": product_id,
        "recurring": recurring,
        "tax_behavior": params.get("tax_behavior") or "unspecified",
        "tiers_mode": params.get("tiers_mode"),
        "transform_quantity": params.get("transform_quantity"),
        "type": "recurring" if recurring else "one_time",
        "unit_amount": unit_amount,
        "unit_amount_decimal": unit_decimal,
    }
    price["_tiers"] = tiers or None
    account.insert(price)
    _take_lookup_key(account, price, params)
    account.emit("price.created", price)
    return price


def create(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/prices`."""
    return create_price(account, params)


def retrieve(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/prices/{id}`."""
    return account.get("price", ids["id"])


def update(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/prices/{id}`: everything but the amounts."""
    price = account.get("price", ids["id"])
    before = {name: price[name] for name in ("active", "lookup_key", "metadata", "nickname", "tax_behavior")}
    for name in ("active", "nickname", "tax_behavior"):
        if name in params:
            price[name] = params[name]
    if "metadata" in params:
        price["metadata"] = merge_metadata(price["metadata"], params["metadata"])
    if "lookup_key" in params:
        _take_lookup_key(account, price, params)
    previous = {name: value for name, value in before.items() if price[name] != value}
    if previous:
        account.emit("price.updated", price, previous)
    return price


def list_prices(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/prices`, by `active`, `currency`, `product`, `type`, `lookup_keys` and `recurring[…]`."""
    found = account.all("price")
    for name in ("active", "currency", "product", "type"):
        if params.get(name) is not None:
            found = [price for price in found if price[name] == params[name]]
    keys = params.get("lookup_keys")
    if keys:
        if len(keys) > MAX_LOOKUP_KEYS:
            raise invalid(f"You may pass at most {MAX_LOOKUP_KEYS} lookup keys.", "lookup_keys")
        found = [price for price in found if price["lookup_key"] in keys]
    for name, value in (params.get("recurring") or {}).items():
        found = [price for price in found if price["recurring"] and price["recurring"][name] == value]
    return page(found, params, "/v1/prices")


def _product(account: Account, params: Json) -> str:
    data = params.get("product_data")
    if bool(data) == bool(params.get("product")):
        raise invalid("You must specify either `product` or `product_data` when creating a price.", "product")
    if data:
        return str(products.create_product(account, data)["id"])
    return str(account.refer("product", params["product"], "product")["id"])


def _recurring(given: Json | None) -> Json | None:
    if not given:
        return None
    count = given.get("interval_count") or 1
    if not 1 <= count <= LONGEST_INTERVAL[given["interval"]]:
        raise invalid("The maximum interval between two bills is three years.", "recurring[interval_count]")
    if (given.get("usage_type") == "metered") != bool(given.get("meter")):
        raise invalid("A metered price needs a meter, and only a metered price has one.", "recurring[meter]")
    return {
        "interval": given["interval"],
        "interval_count": count,
        "meter": given.get("meter"),
        "trial_period_days": given.get("trial_period_days"),
        "usage_type": given.get("usage_type") or "licensed",
    }


def _tiers(params: Json) -> list[Json]:
    """Return the tiers in Stripe's form: the last one has no bound."""
    given = params.get("tiers")
    if params.get("billing_scheme") != "tiered":
        if given or params.get("tiers_mode"):
            raise invalid("`tiers` needs `billing_scheme=tiered`.", "billing_scheme")
        return []
    if not given:
        raise missing_parameter("tiers")
    if not params.get("tiers_mode"):
        raise missing_parameter("tiers_mode")
    if params.get("unit_amount") is not None:
        raise invalid("A tiered price has no `unit_amount` of its own.", "unit_amount")
    tiers: list[Json] = []
    below = 0
    for index, tier in enumerate(given):
        bound = tier.get("up_to")
        last = index == len(given) - 1
        if last != (bound == "inf"):
            raise invalid(
                "The last tier, and only the last, must have `up_to=inf`.", f"tiers[{index}][up_to]"
            )
        if not last and bound <= below:
            raise invalid("Tiers must be in ascending order.", f"tiers[{index}][up_to]")
        below = 0 if last else bound
        flat, flat_decimal = _amount(tier, "flat_amount")
        unit, unit_decimal = _amount(tier, "unit_amount")
        if flat_decimal is None and unit_decimal is None:
            raise invalid("A tier needs a `flat_amount` or a `unit_amount`.", f"tiers[{index}]")
        tiers.append(
            {
                "flat_amount": flat,
                "flat_amount_decimal": flat_decimal,
                "unit_amount": unit,
                "unit_amount_decimal": unit_decimal,
                "up_to": None if last else bound,
            }
        )
    return tiers


def _amount(params: Json, name: str, *, required: bool = False) -> tuple[int | None, str | None]:
    """Return an amount as whole minor units (None if it has a fraction) and as a decimal string."""
    whole, exact = params.get(name), params.get(f"{name}_decimal")
    if whole is not None and exact is not None:
        raise invalid(f"You may only specify one of these parameters: {name}, {name}_decimal.", name)
    if whole is None and exact is None:
        if required:
            raise missing_parameter(name)
        return None, None
    value = Decimal(str(whole if exact is None else exact))
    if value < 0:
        raise invalid("Invalid non-negative integer", name, "parameter_invalid_integer")
    written = format(value, "f")
    written = written.rstrip("0").rstrip(".") if "." in written else written
    return (int(value) if value == value.to_integral_value() else None), written


def _take_lookup_key(account: Account, price: Json, params: Json) -> None:
    key: Any = params.get("lookup_key")
    holders = [other for other in account.find("price", lookup_key=key) if other is not price] if key else []
    if holders and not params.get("transfer_lookup_key"):
        raise invalid(
            f"A price (`{holders[0]['id']}`) already uses that lookup key.",
            "lookup_key",
            "resource_already_exists",
        )
    for holder in holders:
        account.change(holder, "price.updated", lookup_key=None)
    price["lookup_key"] = key


_TIER = {
    "flat_amount": integer,
    "flat_amount_decimal": decimal,
    "unit_amount": integer,
    "unit_amount_decimal": decimal,
    "up_to!": integer_or("inf"),
}
CREATE_FIELDS = {
    "currency!": text,
    "active": boolean,
    "billing_scheme": one_of("per_unit", "tiered"),
    "lookup_key": text,
    "metadata": metadata,
    "nickname": text,
    "product": text,
    "product_data": {
        "name!": text,
        "active": boolean,
        "id": text,
        "metadata": metadata,
        "statement_descriptor": text,
        "tax_code": text,
        "unit_label": text,
    },
    "recurring": {
        "interval!": one_of("day", "week", "month", "year"),
        "interval_count": integer,
        "meter": text,
        "trial_period_days": integer,
        "usage_type": one_of("licensed", "metered"),
    },
    "tax_behavior": one_of("exclusive", "inclusive", "unspecified"),
    "tiers": [_TIER],
    "tiers_mode": one_of("graduated", "volume"),
    "transfer_lookup_key": boolean,
    "transform_quantity": {"divide_by!": integer, "round!": one_of("up", "down")},
    "unit_amount": integer,
    "unit_amount_decimal": decimal,
}
_UPDATE_FIELDS = {
    name: CREATE_FIELDS[name]
    for name in ("active", "lookup_key", "metadata", "nickname", "tax_behavior", "transfer_lookup_key")
}
_LIST_FIELDS = {
    **LIST,
    "active": boolean,
    "currency": text,
    "lookup_keys": [text],
    "product": text,
    "recurring": {"interval": text, "usage_type": text, "meter": text},
    "type": one_of("one_time", "recurring"),
}

ROUTES = [
    Route("POST", "/v1/prices", create, CREATE_FIELDS),
    Route("GET", "/v1/prices", list_prices, _LIST_FIELDS),
    Route("GET", "/v1/prices/{id}", retrieve, {}),
    Route("POST", "/v1/prices/{id}", update, _UPDATE_FIELDS),
]
