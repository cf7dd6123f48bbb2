"""Net amounts and taxes of invoices and their lines, read from Stripe or added up."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from services.subscriptions.domain.catalog.tax_rules import percentage_text
from services.subscriptions.domain.catalog_lookup import CatalogLookup
from services.subscriptions.domain.stripe_objects import Json
from tallystick.messages.subscriptions import InvoiceLine, InvoiceTax, PreviewTotals


@dataclass(frozen=True, slots=True)
class TaxRateDetails:
    """What an invoice says of a tax rate; `code` is that of the catalog, if it has the rate."""

    display_name: str
    percentage: str
    country: str | None
    code: str | None = None


TaxRates = Mapping[str, TaxRateDetails]
"""Details of tax rates by their Stripe ids."""


def read_tax_rate(body: Json) -> TaxRateDetails:
    """Read a tax rate from Stripe's JSON."""
    return TaxRateDetails(
        display_name=str(body.get("display_name") or ""),
        percentage=percentage_text(body.get("percentage") or 0),
        country=body.get("country"),
    )


def rates_of_catalog(invoice: Json, catalog: CatalogLookup) -> dict[str, TaxRateDetails]:
    """Return those tax rates of an invoice that are in the catalog."""
    found = {rate_id: catalog.tax_rate_by_stripe_id(rate_id) for rate_id in tax_rate_ids(invoice)}
    return {
        rate_id: TaxRateDetails(rate.display_name, rate.percentage, rate.country, rate.code)
        for rate_id, rate in found.items()
        if rate is not None
    }


def read_taxes(listed: Any, rates: TaxRates) -> tuple[InvoiceTax, ...]:
    """Read `total_taxes` of an invoice or `taxes` of a line; of unknown rates, only the amounts."""
    return tuple(_read_tax(tax, rates) for tax in listed or [])


def tax_rate_ids(invoice: Json) -> set[str]:
    """Return the Stripe ids of the tax rates of an invoice."""
    return {found for tax in invoice.get("total_taxes") or [] if (found := _rate_id(tax)) is not None}


def discount_total(listed: Any) -> int:
    """Return the sum of `total_discount_amounts` of an invoice or `discount_amounts` of a line."""
    return sum(int(each.get("amount") or 0) for each in listed or [])


def included(taxes: Iterable[InvoiceTax]) -> int:
    """Return the taxes that prices include."""
    return sum(tax.amount for tax in taxes if tax.inclusive)


def gross(line: InvoiceLine) -> int:
    """Return what a line adds to the total of its invoice: after discounts, with its tax."""
    return (line.amount if line.net is None else line.net) + line.tax


def totals_of(lines: Iterable[InvoiceLine]) -> PreviewTotals:
    """Add up lines to the totals of an invoice that has no others; a negative total is not due."""
    listed = list(lines)
    total = sum(gross(line) for line in listed)
    tax = sum(line.tax for line in listed)
    subtotal = sum(line.amount for line in listed)
    taxes = add_up(tax for line in listed for tax in line.taxes)
    return PreviewTotals(
        subtotal=subtotal,
        discount=subtotal + sum(tax.amount for tax in taxes if not tax.inclusive) - total,
        total_excluding_tax=total - tax,
        tax=tax,
        taxes=taxes,
        total=total,
        amount_due=max(total, 0),
    )


def add_up(taxes: Iterable[InvoiceTax]) -> list[InvoiceTax]:
    """Add up taxes by rate and reason, in the order in which they first occur."""
    found: dict[tuple[Any, ...], list[InvoiceTax]] = defaultdict(list)
    for tax in taxes:
        found[tax.stripe_tax_rate_id, tax.reason, tax.inclusive].append(tax)
    return [
        same[0].model_copy(
            update={
                "amount": sum(tax.amount for tax in same),
                "taxable_amount": sum(tax.taxable_amount or 0 for tax in same),
            }
        )
        for same in found.values()
    ]


def _read_tax(tax: Mapping[str, Any], rates: TaxRates) -> InvoiceTax:
    rate_id = _rate_id(tax)
    rate = rates.get(rate_id) if rate_id is not None else None
    return InvoiceTax(
        amount=int(tax.get("amount") or 0),
        taxable_amount=tax.get("taxable_amount"),
        inclusive=tax.get("tax_behavior") == "inclusive",
        reason=tax.get("taxability_reason"),
        tax_rate=rate.code if rate is not None else None,
        display_name=rate.display_name if rate is not None else None,
        percentage=rate.percentage if rate is not None else None,
        country=rate.country if rate is not None else None,
        stripe_tax_rate_id=rate_id,
    )


def _rate_id(tax: Mapping[str, Any]) -> str | None:
    found = (tax.get("tax_rate_details") or {}).get("tax_rate")
    return found if isinstance(found, str) else None
