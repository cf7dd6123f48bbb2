"""A tax rate's parameters for Stripe, and comparing it with a tax rate in Stripe."""

from collections.abc import Mapping
from typing import Any

from services.subscriptions.domain.catalog.tax_rules import percentage_text
from tallystick.messages.tax_rates import TaxRate

TAX_RATE_METADATA = "tallystick_tax_rate"
"""The metadata key under which Stripe's tax rates carry our codes."""
_OPTIONAL = ("country", "description", "jurisdiction", "state", "tax_type")
_TEXTS = ("description", "jurisdiction")
"""The fields that Stripe can unset; the others can only be given another value."""


def creation_parameters(rate: TaxRate) -> dict[str, Any]:
    """Return the parameters that create a tax rate."""
    return {
        "display_name": rate.display_name,
        "percentage": float(rate.percentage),
        "inclusive": rate.inclusive,
        "metadata": {TAX_RATE_METADATA: rate.code},
        **_given(rate),
    }


def update_parameters(rate: TaxRate) -> dict[str, Any]:
    """Return the parameters that bring a tax rate up to date."""
    return {
        "active": not rate.archived,
        "display_name": rate.display_name,
        "metadata": {TAX_RATE_METADATA: rate.code},
        **dict.fromkeys(_TEXTS, ""),
        **_given(rate),
    }


def rate_differences(rate: TaxRate, found: Mapping[str, Any]) -> list[str]:
    """Return the fields that never change in which a Stripe tax rate differs."""
    percentage = percentage_text(found.get("percentage") or 0)
    pairs = {
        "percentage": (rate.percentage, percentage),
        "inclusive": (rate.inclusive, found.get("inclusive")),
    }
    return [field for field, (ours, theirs) in pairs.items() if ours != theirs]


def _given(rate: TaxRate) -> dict[str, str]:
    return {name: value for name in _OPTIONAL if (value := getattr(rate, name)) is not None}
