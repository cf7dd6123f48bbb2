"""Line items of a checkout session and their current amounts."""

from __future__ import annotations

from fractions import Fraction

from sandbox.stripe import checkout_taxes, discounts, prices, tax_rates
from sandbox.stripe.account import Account, Json
from sandbox.stripe.billing import pricing
from sandbox.stripe.faults import invalid, missing_parameter

MAX_LINE_ITEMS = {"subscription": 20, "payment": 100}
"""Stripe's limits, by mode."""


def line_items(account: Account, params: Json) -> list[Json]:
    """Return the line items of the parameters. Raises a fault for prices that the mode does not allow."""
    mode = params["mode"]
    given = params.get("line_items") or []
    if mode == "setup":
        if given:
            raise invalid("You can not pass `line_items` in `setup` mode.", "line_items")
        return []
    if not given:
        raise missing_parameter("line_items")
    if len(given) > MAX_LINE_ITEMS[mode]:
        raise invalid(f"Checkout Sessions are limited to {MAX_LINE_ITEMS[mode]} line items.", "line_items")
    items = [_line_item(account, item, f"line_items[{index}]") for index, item in enumerate(given)]
    recurring = [item for item in items if item["price"]["type"] == "recurring"]
    if mode == "payment" and recurring:
        raise invalid(
            "You specified `payment` mode but passed a recurring price. Either switch to `subscription`"
            " mode or use"
            " only one-time prices.",
            "mode",
        )
    if mode == "subscription" and not recurring:
        raise invalid(
            "You must provide at least one recurring price in `subscription` mode when using prices."
        )
    if len({item["currency"] for item in items}) > 1:
        raise invalid("All prices on a Checkout Session must use the same currency.", "line_items")
    return items


def total(account: Account, session: Json) -> None:
    """Set the amounts due today: less discounts, with taxes, and zero for items with a trial."""
    items: list[Json] = session["_line_items"]
    if not items:
        return
    trial = on_trial(session)
    for item in items:
        free_now = trial and item["price"]["type"] == "recurring"
        metered = pricing.is_metered(item["price"])
        amount = 0 if free_now or metered else full_amount(item)
        item.update(amount_subtotal=amount, amount_discount=0, amount_total=amount)
    for given in session["discounts"] or []:
        coupon, _ = discounts.resolve(account, _named(given), "discounts", session["customer"])
        _apply_coupon(coupon, items)
    checkout_taxes.apply(account, session)
    session["amount_subtotal"] = sum(item["amount_subtotal"] for item in items)
    session["amount_total"] = sum(item["amount_total"] for item in items)
    session["total_details"] = {
        "amount_discount": sum(item["amount_discount"] for item in items),
        "amount_shipping": 0,
        "amount_tax": sum(item["amount_tax"] for item in items),
    }


def on_trial(session: Json) -> bool:
    """Return whether the subscription begins with a trial."""
    data = session["_subscription_data"]
    return bool(data.get("trial_period_days") or data.get("trial_end"))


def full_amount(item: Json) -> int:
    """Return the amount of a line item for one full period (or once), in minor units."""
    return pricing.round_minor(pricing.total(_with_tiers(item["price"]), item["quantity"] or 0))


def _line_item(account: Account, params: Json, path: str) -> Json:
    if bool(params.get("price")) == bool(params.get("price_data")):
        raise invalid("You must specify either `price` or `price_data`.", f"{path}[price]")
    if params.get("price_data"):
        price = prices.create_price(account, params["price_data"])
    else:
        price = account.refer("price", params["price"], f"{path}[price]")
        if not price["active"]:
            raise invalid(
                "The price specified is inactive. This field only accepts active prices.", f"{path}[price]"
            )
    quantity = params.get("quantity")
    if quantity is None and not pricing.is_metered(price):
        raise missing_parameter(f"{path}[quantity]")
    if quantity is not None and quantity < 1:
        raise invalid("Invalid positive integer", f"{path}[quantity]", "parameter_invalid_integer")
    product = account.peek("product", price["product"]) or {}
    return {
        "id": account.new_id("li"),
        "object": "item",
        "adjustable_quantity": None,
        "amount_discount": 0,
        "amount_subtotal": 0,
        "amount_tax": 0,
        "amount_total": 0,
        "currency": price["currency"],
        "description": product.get("name"),
        "metadata": params.get("metadata") or {},
        "price": dict(price),
        "quantity": quantity,
        "_tax_rates": tax_rates.resolve(account, params.get("tax_rates"), f"{path}[tax_rates]"),
        "_taxes": [],
    }


def _apply_coupon(coupon: Json, items: list[Json]) -> None:
    """Distribute a coupon over the line items it applies to."""
    products = (coupon["_applies_to"] or {}).get("products")
    eligible = [item for item in items if not products or item["price"]["product"] in products]
    base = sum(item["amount_total"] for item in eligible)
    left = discounts.amount_off(coupon, base, items[0]["currency"])
    for item in eligible:
        share = min(left, pricing.round_minor(Fraction(left * item["amount_total"], base))) if base else 0
        share = left if item is eligible[-1] else share
        base, left = base - item["amount_total"], left - share
        item["amount_discount"] += share
        item["amount_total"] -= share


def _named(given: Json) -> Json:
    return (
        {"promotion_code": given["promotion_code"]}
        if given.get("promotion_code")
        else {"coupon": given["coupon"]}
    )


def _with_tiers(price: Json) -> Json:
    return {**price, "tiers": price.get("_tiers")}
