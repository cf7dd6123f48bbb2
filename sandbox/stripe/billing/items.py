"""Application of `items` parameters to a subscription.

All items share one currency and one interval.
"""

from __future__ import annotations

from sandbox.stripe import prices, tax_rates
from sandbox.stripe.account import Account, Json
from sandbox.stripe.billing import object_templates, pricing
from sandbox.stripe.faults import invalid, missing_object, missing_parameter
from sandbox.stripe.parameters import boolean, integer, merge_metadata, metadata, text

MAX_ITEMS = 20
"""Stripe's limit of items per subscription."""
_PERIOD = ("current_period_start", "current_period_end")
PRICE_DATA = {
    "currency!": text,
    "product!": text,
    "recurring": prices.CREATE_FIELDS["recurring"],
    "tax_behavior": text,
    "unit_amount": integer,
    "unit_amount_decimal": text,
}
CREATE_ITEM = {
    "price": text,
    "price_data": PRICE_DATA,
    "plan": text,
    "quantity": integer,
    "metadata": metadata,
    "tax_rates": [text],
}
UPDATE_ITEM = {**CREATE_ITEM, "id": text, "deleted": boolean}


def apply(account: Account, subscription: Json, given: list[Json], at: int) -> None:
    """Change the items of a subscription, or of a copy for a preview.

    Raises a fault for an invalid change.
    """
    items: list[Json] = subscription["items"]["data"]
    period = {name: items[0][name] for name in _PERIOD} if items else {}
    for index, params in enumerate(given):
        path = f"items[{index}]"
        if params.get("id"):
            item = next((each for each in items if each["id"] == params["id"]), None)
            if item is None:
                raise missing_object("subscription_item", params["id"], param=f"{path}[id]", status=400)
            if params.get("deleted"):
                items.remove(item)
            else:
                _update(account, item, params, path)
        else:
            items.append({**_new(account, subscription, params, path, at), **period})
    _check(items)
    subscription["items"]["total_count"] = len(items)


def price_of(account: Account, params: Json, path: str) -> Json | None:
    """Return the price of a parameter, or create it from `price_data`."""
    if params.get("price_data"):
        price = prices.create_price(account, params["price_data"])
        price["active"] = False
        return price
    price_id = params.get("price") or params.get("plan")
    return account.refer("price", price_id, f"{path}[price]") if price_id else None


def _new(account: Account, subscription: Json, params: Json, path: str, at: int) -> Json:
    price = price_of(account, params, path)
    if price is None:
        raise missing_parameter(f"{path}[price]")
    _must_recur(price, path, "price_data" in params)
    item = object_templates.subscription_item(account.new_id("si"), subscription["id"], dict(price), at)
    item["metadata"] = merge_metadata(None, params.get("metadata"))
    item["tax_rates"] = tax_rates.resolve(account, params.get("tax_rates"), f"{path}[tax_rates]")
    _set_quantity(item, params.get("quantity"), 1, path)
    return item


def _update(account: Account, item: Json, params: Json, path: str) -> None:
    price = price_of(account, params, path)
    if price is not None and price["id"] != item["price"]["id"]:
        _must_recur(price, path, "price_data" in params)
        item["price"], item["plan"] = dict(price), object_templates.plan(price)
        # As in Stripe, a new price has a quantity of one unless it is given.
        _set_quantity(item, params.get("quantity"), 1, path)
    elif params.get("quantity") is not None:
        _set_quantity(item, params["quantity"], 1, path)
    if "metadata" in params:
        item["metadata"] = merge_metadata(item["metadata"], params["metadata"])
    if "tax_rates" in params:
        item["tax_rates"] = tax_rates.resolve(account, params["tax_rates"], f"{path}[tax_rates]")


def _set_quantity(item: Json, quantity: int | None, default: int, path: str) -> None:
    if pricing.is_metered(item["price"]):
        if quantity is not None:
            raise invalid("You cannot set the quantity of an item with a metered price.", f"{path}[quantity]")
        item.pop("quantity", None)
        return
    if quantity is not None and quantity < 0:
        raise invalid("Invalid non-negative integer", f"{path}[quantity]", "parameter_invalid_integer")
    item["quantity"] = default if quantity is None else quantity


def _must_recur(price: Json, path: str, inline: bool) -> None:
    if not price["recurring"]:
        raise invalid(
            "The price specified is `type=one_time` but this field only accepts `type=recurring`.",
            f"{path}[price]",
        )
    if not price["active"] and not inline:
        raise invalid(
            "The price specified is inactive. This field only accepts active prices.", f"{path}[price]"
        )


def _check(items: list[Json]) -> None:
    if not items:
        raise invalid("A subscription must have at least one active item.", "items")
    if len(items) > MAX_ITEMS:
        raise invalid(f"A subscription can have at most {MAX_ITEMS} items.", "items")
    prices_seen = [item["price"]["id"] for item in items]
    if len(set(prices_seen)) < len(prices_seen):
        raise invalid("Cannot add multiple subscription items with the same price.", "items")
    cycles = {
        (
            item["price"]["currency"],
            item["price"]["recurring"]["interval"],
            item["price"]["recurring"]["interval_count"],
        )
        for item in items
    }
    if len(cycles) > 1:
        raise invalid(
            "Currency and interval fields must match across all prices on this subscription.", "items"
        )
