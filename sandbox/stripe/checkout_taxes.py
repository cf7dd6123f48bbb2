"""Taxes of a checkout session: by its rates or the typed country, and details saved to the customer."""

from __future__ import annotations

from sandbox.stripe import customers, tax_ids
from sandbox.stripe.account import Account, Json
from sandbox.stripe.billing import taxes
from sandbox.stripe.faults import StripeFault, invalid
from sandbox.stripe.parameters import boolean, one_of

TYPED = ("country", "name", "tax_id")
"""Fields of the page that say who pays."""
FIELDS = {
    "customer_update": dict.fromkeys(("address", "name", "shipping"), one_of("auto", "never")),
    "tax_id_collection": {"enabled!": boolean, "required": one_of("if_supported", "never")},
}
"""Parameters of a session that concern the customer's details."""


def check(account: Account, params: Json) -> None:
    """Raise the faults of taxes: rates beside automatic ones, and details that could not be saved."""
    automatic = _is_enabled(params, "automatic_tax")
    for index, item in enumerate(params.get("line_items") or []):
        if automatic and item.get("tax_rates"):
            raise invalid(
                "You cannot set `tax_rates` when automatic tax is enabled.", f"line_items[{index}][tax_rates]"
            )
    saved = params.get("customer_update") or {}
    if not params.get("customer"):
        if saved:
            raise invalid("`customer_update` can only be used with `customer`.", "customer_update")
        return
    customer = account.get("customer", params["customer"])
    if automatic and taxes.location(customer) is None and saved.get("address") != "auto":
        raise StripeFault(
            "Automatic tax calculation in Checkout requires a valid address on the Customer. Add a valid"
            " address to the Customer or set either `customer_update[address]` to 'auto' or"
            " `customer_update[shipping]` to 'auto' to save the address entered in Checkout to the Customer.",
            code="customer_tax_location_invalid",
        )
    if _is_enabled(params, "tax_id_collection") and saved.get("name") != "auto":
        raise invalid(
            "Tax ID collection requires updating business name on the customer. To enable tax ID collection"
            " for an existing customer, please set `customer_update[name]` to `auto`.",
            "customer_update[name]",
        )


def shape(params: Json) -> Json:
    """Return the session's fields about taxes."""
    automatic = _is_enabled(params, "automatic_tax")
    collection = {"tax_id_collection": {"enabled": True, "required": "never"}}
    return {
        "automatic_tax": {
            "enabled": automatic,
            "liability": {"type": "self"} if automatic else None,
            "provider": "stripe" if automatic else None,
            "status": None,
        },
        "_typed": {},
        "_customer_update": params.get("customer_update") or {},
        **(collection if _is_enabled(params, "tax_id_collection") else {}),
    }


def take_over(session: Json, params: Json) -> None:
    """Take over what was typed on the page, which decides the taxes."""
    for name in TYPED:
        if params.get(name):
            session["_typed"][name] = str(params[name]).strip()
    if session["_typed"].get("country"):
        session["_typed"]["country"] = session["_typed"]["country"].upper()


def collects_address(session: Json) -> bool:
    """Return whether the page asks for the country."""
    required = session["billing_address_collection"] == "required"
    return required or _is_enabled(session, "automatic_tax")


def collects_tax_id(session: Json) -> bool:
    """Return whether the page asks for the VAT id of a business."""
    return _is_enabled(session, "tax_id_collection")


def payer(account: Account, session: Json) -> Json:
    """Return what taxes depend on: what was typed on the page, else what is known of the customer."""
    known = taxes.customer_of(account, session) if session["customer"] else {}
    typed = session["_typed"]
    address = {"country": typed["country"]} if typed.get("country") else known.get("address")
    ids = [{"type": "eu_vat", "value": typed["tax_id"]}] if typed.get("tax_id") else known.get("_tax_ids")
    return {"address": address, "tax_exempt": known.get("tax_exempt"), "_tax_ids": ids or []}


def apply(account: Account, session: Json) -> None:
    """Set the taxes of the line items, after their discounts, and add them to their totals."""
    customer = payer(account, session)
    automatic = session["automatic_tax"]
    if automatic["enabled"]:
        known = taxes.location(customer) is not None
        automatic["status"] = "complete" if known else "requires_location_inputs"
    for item in session["_line_items"]:
        found = taxes.tax_of(item["amount_total"], _rates(account, session, item, customer))
        net = item["amount_total"] - sum(tax for (rate, _), tax in found if rate["inclusive"])
        item["_taxes"] = [
            {"amount": tax, "rate": dict(rate), "taxability_reason": reason, "taxable_amount": net}
            for (rate, reason), tax in found
        ]
        item["amount_tax"] = sum(tax for _, tax in found)
        item["amount_total"] = net + item["amount_tax"]


def save(account: Account, session: Json, customer: Json | None) -> None:
    """Save what was typed on the page to the customer, as `customer_update` says."""
    typed, saved = session["_typed"], session["_customer_update"]
    if customer is None:
        return
    is_new = session["customer"] is None
    changes: Json = {}
    if typed.get("country") and (is_new or saved.get("address") == "auto"):
        changes["address"] = {**dict.fromkeys(customers.ADDRESS), "country": typed["country"]}
    if typed.get("name") and (is_new or saved.get("name") == "auto"):
        changes["name"] = typed["name"]
    if typed.get("tax_id"):
        tax_ids.add(account, customer, "eu_vat", typed["tax_id"])
    if any(customer[name] != value for name, value in changes.items()):
        account.change(customer, "customer.updated", **changes)


def customer_details(account: Account, session: Json, customer: Json | None) -> Json:
    """Return what the session tells about who paid."""
    typed, found = session["_typed"], dict(session["customer_details"] or {})
    if typed.get("country"):
        found["address"] = {**dict.fromkeys(customers.ADDRESS), "country": typed["country"]}
    if typed.get("name"):
        found.update(name=typed["name"], business_name=typed["name"])
    known = tax_ids.of_customer(account, customer["id"]) if customer is not None else []
    return {**found, "tax_ids": [{"type": each["type"], "value": each["value"]} for each in known]}


def _rates(account: Account, session: Json, item: Json, customer: Json) -> list[taxes.Rate]:
    if not session["automatic_tax"]["enabled"]:
        return taxes.attached_rates(item["_tax_rates"], customer)
    inclusive = taxes.behavior_is_inclusive(item["price"]["tax_behavior"], item["currency"])
    return taxes.automatic_rates(account, customer, inclusive=inclusive)


def _is_enabled(holder: Json, name: str) -> bool:
    return bool((holder.get(name) or {}).get("enabled"))
