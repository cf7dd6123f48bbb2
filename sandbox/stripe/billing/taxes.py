"""Taxes of invoice lines: by the tax rates attached to them, or automatic by the customer's country.

Each line is rounded by itself, after its discounts, so that lines add up to the invoice.
"""

from __future__ import annotations

from fractions import Fraction

from sandbox.stripe import tax_ids, tax_rates
from sandbox.stripe.account import Account, Json
from sandbox.stripe.billing import tax_table
from sandbox.stripe.billing.pricing import round_minor
from sandbox.stripe.faults import StripeFault, invalid

EXCLUSIVE_BY_DEFAULT = frozenset(["usd", "cad"])
"""Currencies in which a price without `tax_behavior` excludes tax, as in Stripe's default setting."""
NO_LOCATION = (
    "The customer's location isn't recognized. Set a valid customer address in order to automatically"
    " calculate tax."
)
_NOT_COMPLETE = "finalization_requires_location_inputs"

Rate = tuple[Json, str]
"""A tax rate and the reason with which it is applied."""


def apply(account: Account, invoice: Json) -> None:
    """Compute the taxes of an invoice's lines, whose discounts are known, and sum them up."""
    customer = customer_of(account, invoice)
    automatic = invoice["automatic_tax"]
    if automatic["enabled"]:
        known = location(customer) is not None
        automatic["status"] = "complete" if known else "requires_location_inputs"
    for line in invoice["lines"]["data"]:
        net_of_discounts = line["amount"] - sum(each["amount"] for each in line["discount_amounts"])
        line["taxes"] = _taxes(net_of_discounts, rates_of_line(account, invoice, line, customer))
    invoice["total_taxes"] = add_up([tax for line in invoice["lines"]["data"] for tax in line["taxes"]])


def rates_of_line(account: Account, invoice: Json, line: Json, customer: Json) -> list[Rate]:
    """Return the tax rates of a line: automatic, its own, or the invoice's default ones."""
    if invoice["automatic_tax"]["enabled"]:
        inclusive = _is_inclusive(account, line)
        return automatic_rates(account, customer, inclusive=inclusive)
    return attached_rates(line.get("_tax_rates") or invoice["default_tax_rates"], customer)


def attached_rates(rates: list[Json], customer: Json) -> list[Rate]:
    """Return tax rates that were attached by hand, with the reason for which they apply or not."""
    exempt = customer.get("tax_exempt") or "none"
    return [(rate, tax_table.reason_of(str(rate["percentage"]), exempt)) for rate in rates]


def automatic_rates(account: Account, customer: Json, *, inclusive: bool) -> list[Rate]:
    """Return the rate for a customer's country, making the tax rate on its first use."""
    country = location(customer)
    if country is None:
        return []
    vat = {each["value"][:2] for each in customer.get("_tax_ids", []) if each["type"] == "eu_vat"}
    found = tax_table.treatment(country, customer.get("tax_exempt") or "none", vat)
    same = {"country": country, "tax_type": found.tax_type, "_automatic": True}
    for rate in account.find("tax_rate", inclusive=inclusive, **same):
        if tax_rates.share(rate) == Fraction(found.percentage) / 100:
            return [(rate, found.reason)]
    rate = tax_rates.new_tax_rate(
        account,
        percentage=found.percentage,
        inclusive=inclusive,
        display_name=found.display_name,
        effective_percentage=float(found.percentage),
        jurisdiction=country,
        jurisdiction_level="country",
        rate_type="percentage",
        **same,
    )
    return [(rate, found.reason)]


def tax_of(amount: int, rates: list[Rate]) -> list[tuple[Rate, int]]:
    """Return the tax of an amount by each rate; inclusive rates are part of it, others are added."""
    due = [Fraction(0) if _is_waived(reason) else tax_rates.share(rate) for rate, reason in rates]
    shares = [share for (rate, _), share in zip(rates, due, strict=True) if rate["inclusive"]]
    net = Fraction(amount) / (1 + sum(shares, Fraction(0)))
    return [
        (found, round_minor((net if found[0]["inclusive"] else amount) * share))
        for found, share in zip(rates, due, strict=True)
    ]


def add_up(taxes: list[Json]) -> list[Json]:
    """Add up taxes by rate and reason: `total_taxes`."""
    found: dict[tuple[str, str], Json] = {}
    for tax in taxes:
        key = (tax["tax_rate_details"]["tax_rate"], tax["taxability_reason"])
        if key not in found:
            found[key] = dict(tax)
            continue
        for name in ("amount", "taxable_amount"):
            found[key][name] += tax[name]
    return list(found.values())


def included(taxes: list[Json]) -> int:
    """Return the taxes that are part of the amounts."""
    return sum(tax["amount"] for tax in taxes if tax["tax_behavior"] == "inclusive")


def added(taxes: list[Json]) -> int:
    """Return the taxes that are added to the amounts."""
    return sum(tax["amount"] for tax in taxes if tax["tax_behavior"] == "exclusive")


def subtotal_excluding_tax(account: Account, invoice: Json) -> int:
    """Return the lines' amounts without inclusive taxes, before discounts."""
    customer = customer_of(account, invoice)
    net = 0
    for line in invoice["lines"]["data"]:
        taxes = tax_of(line["amount"], rates_of_line(account, invoice, line, customer))
        net += line["amount"] - sum(amount for (rate, _), amount in taxes if rate["inclusive"])
    return net


def customer_of(account: Account, invoice: Json) -> Json:
    """Return the customer as far as taxes depend on them; previews may state other details."""
    customer = account.peek("customer", invoice["customer"]) or {}
    known = tax_ids.of_customer(account, invoice["customer"])
    found = {
        "address": customer.get("address"),
        "tax_exempt": customer.get("tax_exempt"),
        "_tax_ids": [{"type": each["type"], "value": each["value"]} for each in known],
    }
    return {**found, **(invoice.get("_customer_details") or {})}


def location(customer: Json) -> str | None:
    """Return the country of a customer, if their address tells it."""
    country = (customer.get("address") or {}).get("country")
    return str(country).upper() if country else None


def set_on(account: Account, owner: Json, params: Json) -> None:
    """Set `automatic_tax` and `default_tax_rates` of a subscription or invoice from parameters."""
    given = params.get("automatic_tax")
    if given is not None:
        liability = given.get("liability") or ({"type": "self"} if given["enabled"] else None)
        changed = {"disabled_reason": None, "enabled": given["enabled"], "liability": liability}
        owner["automatic_tax"] = {**owner["automatic_tax"], **changed}
    if "default_tax_rates" in params:
        owner["default_tax_rates"] = tax_rates.resolve(
            account, params["default_tax_rates"], "default_tax_rates"
        )
    require_one_way(owner)


def require_one_way(owner: Json) -> None:
    """Raise the fault of tax rates beside automatic tax."""
    items = (owner.get("items") or {}).get("data", [])
    if owner["automatic_tax"]["enabled"] and (
        owner["default_tax_rates"] or any(item["tax_rates"] for item in items)
    ):
        raise invalid("You cannot set tax rates when automatic tax is enabled.", "automatic_tax")


def require_location(account: Account, owner: Json) -> None:
    """Raise the fault of automatic tax for a customer whose country is not known."""
    customer = account.peek("customer", owner["customer"]) or {}
    if owner["automatic_tax"]["enabled"] and location(customer) is None:
        raise StripeFault(NO_LOCATION, code="customer_tax_location_invalid")


def on_finalization(account: Account, invoice: Json) -> None:
    """Check the location; an invoice of a subscription goes out without tax, others cannot be finalized."""
    if invoice["automatic_tax"].get("status") != "requires_location_inputs":
        return
    if invoice["billing_reason"] == "manual":
        raise StripeFault(NO_LOCATION, code="customer_tax_location_invalid")
    invoice["automatic_tax"].update(enabled=False, status=None, disabled_reason=_NOT_COMPLETE)


def _taxes(amount: int, rates: list[Rate]) -> list[Json]:
    found = tax_of(amount, rates)
    net = amount - sum(tax for (rate, _), tax in found if rate["inclusive"])
    return [
        {
            "amount": tax,
            "tax_behavior": "inclusive" if rate["inclusive"] else "exclusive",
            "tax_rate_details": {"tax_rate": rate["id"]},
            "taxability_reason": reason,
            "taxable_amount": net,
            "type": "tax_rate_details",
        }
        for (rate, reason), tax in found
    ]


def _is_waived(reason: str) -> bool:
    return reason in ("customer_exempt", "reverse_charge")


def _is_inclusive(account: Account, line: Json) -> bool:
    price_id = ((line["pricing"] or {}).get("price_details") or {}).get("price")
    price = account.peek("price", price_id) or {}
    return behavior_is_inclusive(line.get("_tax_behavior") or price.get("tax_behavior"), line["currency"])


def behavior_is_inclusive(behavior: str | None, currency: str) -> bool:
    """Return whether a price of this `tax_behavior` includes its tax."""
    if behavior in (None, "unspecified"):
        return currency not in EXCLUSIVE_BY_DEFAULT
    return behavior == "inclusive"
