"""Invoice items: one-off amounts on a customer's next invoice, or on a draft."""

from __future__ import annotations

from fractions import Fraction

from sandbox.stripe import tax_rates
from sandbox.stripe.account import Account, Json
from sandbox.stripe.billing import invoicing, lines, object_templates, pending_items, pricing
from sandbox.stripe.faults import invalid, missing_parameter
from sandbox.stripe.lists import page
from sandbox.stripe.parameters import LIST, boolean, decimal, integer, merge_metadata, metadata, one_of, text
from sandbox.stripe.routing import Route


def create(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/invoiceitems`.

    By `amount`, by `unit_amount_decimal` and `quantity`, or by a one-off price.
    """
    customer = account.refer("customer", params["customer"], "customer")
    invoice = account.refer("invoice", params["invoice"], "invoice") if params.get("invoice") else None
    if invoice is not None and invoice["status"] != "draft":
        raise invalid("You can only add items to a draft invoice.", "invoice", "invoice_not_editable")
    if invoice is not None and invoice["automatic_tax"]["enabled"] and params.get("tax_rates"):
        raise invalid("You cannot set tax rates when automatic tax is enabled.", "tax_rates")
    if len(account.find("invoiceitem", customer=customer["id"], invoice=None)) >= pending_items.MAX_WAITING:
        raise invalid(
            f"A customer can have at most {pending_items.MAX_WAITING} pending invoice items.", "customer"
        )
    entry = account.insert(compose(account, customer, params))
    account.emit("invoiceitem.created", entry)
    if invoice is not None:
        entry["invoice"] = invoice["id"]
        _refresh(account, invoice, [*invoice["lines"]["data"], lines.from_invoice_item(account, entry)])
    return entry


def retrieve(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/invoiceitems/{id}`."""
    return account.get("invoiceitem", ids["id"])


def update(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/invoiceitems/{id}`, while it is not on a finalized invoice."""
    entry = account.get("invoiceitem", ids["id"])
    invoice = _draft_of(account, entry)
    if "amount" in params:
        entry["amount"] = entry["net_amount"] = params["amount"]
    for name in ("description", "discountable"):
        if name in params:
            entry[name] = params[name]
    if "metadata" in params:
        entry["metadata"] = merge_metadata(entry["metadata"], params["metadata"])
    if invoice is not None:
        others = [line for line in invoice["lines"]["data"] if invoicing.invoice_item_of(line) != entry["id"]]
        _refresh(account, invoice, [*others, lines.from_invoice_item(account, entry)])
    return entry


def delete(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`DELETE /v1/invoiceitems/{id}`, while it is not on a finalized invoice."""
    entry = account.get("invoiceitem", ids["id"])
    invoice = _draft_of(account, entry)
    if invoice is not None:
        data = invoice["lines"]["data"]
        _refresh(account, invoice, [line for line in data if invoicing.invoice_item_of(line) != entry["id"]])
    pending_items.forget(account, [entry])
    return {"id": entry["id"], "object": "invoiceitem", "deleted": True}


def list_items(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/invoiceitems`, by `customer`, `invoice` and `pending`."""
    equals = {name: params[name] for name in ("customer", "invoice") if params.get(name)}
    found = account.find("invoiceitem", **equals)
    if params.get("pending") is not None:
        found = [entry for entry in found if (entry["invoice"] is None) == params["pending"]]
    created = [{**entry, "created": entry["date"]} for entry in found] if params.get("created") else found
    return page(created, params, "/v1/invoiceitems")


def compose(account: Account, customer: Json, params: Json) -> Json:
    """Return an invoice item of the parameters, not stored yet."""
    now = account.now(customer)
    quantity = 1 if params.get("quantity") is None else params["quantity"]
    price_id = (params.get("pricing") or {}).get("price") or params.get("price")
    amount, currency, pricing_details = params.get("amount"), params.get("currency"), None
    if price_id:
        price = account.refer("price", price_id, "pricing[price]")
        if price["recurring"]:
            raise invalid("The price specified is recurring but this field only accepts one-off prices.")
        amount = pricing.round_minor(pricing.total(price, quantity))
        currency, pricing_details = price["currency"], lines.price_details(price, None)
        params = {"description": lines.product_name(account, price), **params}
    elif params.get("unit_amount_decimal") is not None:
        amount = pricing.round_minor(Fraction(params["unit_amount_decimal"]) * quantity)
    if amount is None:
        raise missing_parameter("amount")
    currency = (currency or customer["currency"] or "usd").lower()
    if customer["currency"] not in (None, currency):
        raise invalid(f"The customer's currency is {customer['currency']}.", "currency")
    customer["currency"] = currency
    subscription = params.get("subscription")
    if subscription:
        account.refer("subscription", subscription, "subscription")
    details = {"subscription_details": {"subscription": subscription}, "type": "subscription_details"}
    return object_templates.invoice_item(
        account.new_id("ii"),
        customer,
        amount=amount,
        currency=currency,
        date=now,
        description=params.get("description"),
        discountable=params.get("discountable", amount >= 0),
        metadata=merge_metadata(None, params.get("metadata")),
        parent=details if subscription else None,
        period=params.get("period") or {"start": now, "end": now},
        pricing=pricing_details,
        quantity=quantity,
        tax_rates=tax_rates.resolve(account, params.get("tax_rates"), "tax_rates"),
        _tax_behavior=params.get("tax_behavior"),
    )


def _draft_of(account: Account, entry: Json) -> Json | None:
    if entry["invoice"] is None:
        return None
    invoice = account.get("invoice", entry["invoice"])
    if invoice["status"] != "draft":
        raise invalid("This invoice item is on a finalized invoice.", code="invoice_not_editable")
    return invoice


def _refresh(account: Account, invoice: Json, data: list[Json]) -> None:
    before = {name: invoice[name] for name in ("total", "subtotal", "amount_due")}
    invoicing.set_lines(account, invoice, data)
    previous = {name: value for name, value in before.items() if invoice[name] != value}
    if previous:
        account.emit("invoice.updated", invoice, previous)


PREVIEWED = {
    "amount": integer,
    "currency": text,
    "description": text,
    "discountable": boolean,
    "metadata": metadata,
    "quantity": integer,
    "tax_behavior": one_of("exclusive", "inclusive", "unspecified"),
    "tax_rates": [text],
}
"""Parameters of an item in a preview."""
_UPDATE = {"amount": integer, "description": text, "discountable": boolean, "metadata": metadata}

ROUTES = [
    Route(
        "POST",
        "/v1/invoiceitems",
        create,
        {
            **_UPDATE,
            "customer!": text,
            "currency": text,
            "invoice": text,
            "period": {"start!": integer, "end!": integer},
            "price": text,
            "pricing": {"price": text},
            "quantity": integer,
            "subscription": text,
            "tax_behavior": one_of("exclusive", "inclusive", "unspecified"),
            "tax_code": text,
            "tax_rates": [text],
            "unit_amount_decimal": decimal,
        },
    ),
    Route(
        "GET", "/v1/invoiceitems", list_items, {**LIST, "customer": text, "invoice": text, "pending": boolean}
    ),
    Route("GET", "/v1/invoiceitems/{id}", retrieve, {}),
    Route("POST", "/v1/invoiceitems/{id}", update, _UPDATE),
    Route("DELETE", "/v1/invoiceitems/{id}", delete, {}),
]
