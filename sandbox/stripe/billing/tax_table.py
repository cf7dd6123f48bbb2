"""What automatic tax decides: a small table of standard rates by the customer's country.

The seller is in Germany, and registered in the EU (one-stop shop) and in Japan.
"""

from __future__ import annotations

from dataclasses import dataclass

SELLER_COUNTRY = "DE"
EU_RATES = {
    "AT": "20", "BE": "21", "BG": "20", "CY": "19", "CZ": "21", "DE": "19", "DK": "25", "EE": "24",
    "ES": "21", "FI": "25.5", "FR": "20", "GR": "24", "HR": "25", "HU": "27", "IE": "23", "IT": "22",
    "LT": "21", "LU": "17", "LV": "21", "MT": "18", "NL": "21", "PL": "23", "PT": "23", "RO": "21",
    "SE": "25", "SI": "22", "SK": "23",
}  # fmt: skip
"""Standard rates of VAT, in percent."""
JAPAN_RATE = "10"
"""Japan's consumption tax, in percent."""


@dataclass(frozen=True)
class Treatment:
    """How a sale is taxed: name and type of the tax, its rate in percent, and Stripe's reason."""

    country: str
    display_name: str
    tax_type: str
    percentage: str
    reason: str


def treatment(country: str, tax_exempt: str, vat_countries: set[str]) -> Treatment:
    """Return how a sale to a customer is taxed; `vat_countries` are those of their EU VAT ids."""
    if country == "JP":
        percentage, reason = _unless_exempt(JAPAN_RATE, tax_exempt)
        return Treatment(country, "JCT", "jct", percentage, reason)
    if country not in EU_RATES:
        return Treatment(country, "Tax", "sales_tax", "0", "not_collecting")
    percentage, reason = _unless_exempt(EU_RATES[country], tax_exempt)
    is_business_elsewhere = country != SELLER_COUNTRY and bool(vat_countries - {SELLER_COUNTRY})
    if tax_exempt == "none" and is_business_elsewhere:
        percentage, reason = "0", "reverse_charge"
    return Treatment(country, "VAT", "vat", percentage, reason)


def reason_of(percentage: str, tax_exempt: str) -> str:
    """Return Stripe's reason for the tax of a rate that was attached by hand."""
    reason = _unless_exempt(percentage, tax_exempt)[1]
    return "zero_rated" if reason == "standard_rated" and not float(percentage) else reason


def _unless_exempt(percentage: str, tax_exempt: str) -> tuple[str, str]:
    if tax_exempt == "exempt":
        return "0", "customer_exempt"
    if tax_exempt == "reverse":
        return "0", "reverse_charge"
    return percentage, "standard_rated"
