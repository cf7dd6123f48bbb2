"""Invoice lines: periods of subscription items, prorations and one-off items.

As in Stripe, a proration first becomes an invoice item and then a line, so previews and invoices use the same
functions.
"""

from __future__ import annotations

from fractions import Fraction

from sandbox.stripe.account import Account, Json
from sandbox.stripe.billing import calendar, object_templates, pricing
from sandbox.stripe.billing.proration import Item, Proration

_SHARED = (
    "amount", "currency", "description", "discountable", "metadata", "period", "pricing", "quantity",
    "quantity_decimal",
)  # fmt: skip
"""Fields that a line copies from its invoice item."""


def period_of(subscription: Json) -> tuple[int, int]:
    """Return the current period. All items of a subscription share one here."""
    item = subscription["items"]["data"][0]
    return item["current_period_start"], item["current_period_end"]


def set_period(subscription: Json, start: int, end: int) -> None:
    """Set the period of all items."""
    for item in subscription["items"]["data"]:
        item["current_period_start"], item["current_period_end"] = start, end


def billed_items(subscription: Json) -> list[Item]:
    """Return the items in the form that proration uses."""
    return [
        Item(
            item["id"],
            item["price"],
            item.get("quantity", 0),
            item["current_period_start"],
            item["current_period_end"],
            subscription["billing_cycle_anchor"],
            tuple(item["tax_rates"]),
        )
        for item in subscription["items"]["data"]
    ]


def for_period(
    account: Account, subscription: Json, item: Json, quantity: Fraction, period: tuple[int, int]
) -> list[Json]:
    """Return the lines of an item for one full period: one per tier and flat fee."""
    price = item["price"]
    name = product_name(account, price)
    return [
        _item_line(
            account,
            subscription,
            item,
            amount=pricing.round_minor(part.amount),
            description=_describe(part, name, price),
            period={"start": period[0], "end": period[1]},
            quantity=int(part.quantity),
            quantity_decimal=pricing.decimal_text(part.quantity),
            pricing=price_details(price, part.unit_amount),
        )
        for part in pricing.parts(price, quantity)
    ]


def for_trial(account: Account, subscription: Json, item: Json, period: tuple[int, int]) -> Json:
    """Return the line of a free trial."""
    quantity = item.get("quantity", 0)
    name = product_name(account, item["price"])
    return _item_line(
        account,
        subscription,
        item,
        amount=0,
        description=f"Trial period for {_times(quantity, name)}",
        period={"start": period[0], "end": period[1]},
        quantity=quantity,
        quantity_decimal=str(quantity),
        pricing=price_details(item["price"], Fraction(0)),
    )


def proration_entry(
    account: Account, customer: Json, subscription: Json, proration: Proration, at: int
) -> Json:
    """Return the invoice item (not stored yet) of a proration line."""
    item = proration.item
    what = _times(item.quantity, product_name(account, item.price))
    word = "Unused" if proration.amount < 0 else "Remaining"
    return object_templates.invoice_item(
        account.new_id("ii"),
        customer,
        amount=proration.amount,
        currency=subscription["currency"],
        date=at,
        description=f"{word} time on {what} after {calendar.day_name(proration.start)}",
        discountable=False,
        metadata=dict(subscription["metadata"]),
        period={"start": proration.start, "end": proration.end},
        pricing=price_details(item.price, None),
        proration=True,
        proration_details={"discount_amounts": []},
        quantity=item.quantity,
        tax_rates=[dict(rate) for rate in item.tax_rates],
        parent={
            "type": "subscription_details",
            "subscription_details": {"subscription": subscription["id"], "subscription_item": item.id},
        },
    )


def from_invoice_item(account: Account, entry: Json) -> Json:
    """Return the invoice line of an invoice item."""
    owner = (entry["parent"] or {}).get("subscription_details") or {}
    details = {
        "invoice_item": entry["id"],
        "proration": entry["proration"],
        "proration_details": {"credited_items": None},
        "subscription": owner.get("subscription"),
    }
    if owner.get("subscription_item"):
        details["subscription_item"] = owner["subscription_item"]
        parent = _parent("subscription_item_details", details)
    else:
        parent = _parent("invoice_item_details", details)
    shared = [
        "amount",
        "currency",
        "description",
        "discountable",
        "metadata",
        "period",
        "pricing",
        "quantity",
        "quantity_decimal",
    ]
    return object_templates.line(
        account.new_id("il"),
        **{name: entry[name] for name in shared},
        parent=parent,
        subscription=owner.get("subscription"),
        _tax_rates=entry["tax_rates"],
        _tax_behavior=entry.get("_tax_behavior"),
    )


def price_details(price: pricing.Price, unit_amount: Fraction | None) -> Json:
    """Return a line's `pricing`. A prorated line of a tiered price has no unit amount."""
    if unit_amount is None and price["billing_scheme"] != "tiered":
        unit_amount = pricing.total({**price, "transform_quantity": None}, 1)
    return {
        "type": "price_details",
        "price_details": {"price": price["id"], "product": price["product"]},
        "unit_amount_decimal": None if unit_amount is None else pricing.decimal_text(unit_amount),
    }


def product_name(account: Account, price: pricing.Price) -> str:
    """Return the name of a price's product."""
    product = account.peek("product", price["product"])
    return str(product["name"]) if product and product.get("name") else str(price["product"])


def _item_line(account: Account, subscription: Json, item: Json, **values: object) -> Json:
    details = {
        "invoice_item": None,
        "proration": False,
        "proration_details": None,
        "subscription": subscription["id"],
        "subscription_item": item["id"],
    }
    return object_templates.line(
        account.new_id("il"),
        currency=subscription["currency"],
        metadata={**subscription["metadata"], **item["metadata"]},
        parent=_parent("subscription_item_details", details),
        subscription=subscription["id"],
        _tax_rates=item["tax_rates"],
        **values,
    )


def _parent(kind: str, details: Json) -> Json:
    return {"invoice_item_details": None, "subscription_item_details": None, "type": kind, kind: details}


def _describe(part: pricing.Part, name: str, price: Json) -> str:
    if part.label.endswith("flat fee"):
        return f"{name} ({part.label})"
    recurring = price["recurring"]
    count = recurring["interval_count"]
    every = recurring["interval"] if count == 1 else f"every {count} {recurring['interval']}s"
    money = pricing.show(part.unit_amount, price["currency"])
    tier = f"{part.label} at" if part.label else "at"
    return f"{pricing.decimal_text(part.quantity)} × {name} ({tier} {money} / {every})"


def _times(quantity: int, name: str) -> str:
    return name if quantity == 1 else f"{quantity} × {name}"
