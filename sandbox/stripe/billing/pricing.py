"""Exact pricing of a quantity: per unit, volume and graduated tiers, flat and decimal amounts.

Works on Stripe's price objects. Amounts stay exact fractions of a minor unit until they are on a line.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from typing import Any

Price = Mapping[str, Any]

ZERO_DECIMAL = frozenset(
    [
        "bif",
        "clp",
        "djf",
        "gnf",
        "jpy",
        "kmf",
        "krw",
        "mga",
        "pyg",
        "rwf",
        "ugx",
        "vnd",
        "vuv",
        "xaf",
        "xof",
        "xpf",
    ]
)
THREE_DECIMAL = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])
_SYMBOLS = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥", "inr": "₹", "krw": "₩"}


@dataclass(frozen=True)
class Part:
    """Part of a price on its own line: a tier, a flat fee, or a whole per-unit price."""

    quantity: Fraction
    unit_amount: Fraction
    amount: Fraction
    label: str


def round_minor(amount: Fraction) -> int:
    """Round to whole minor units, halves away from zero, so that a credit equals its charge."""
    magnitude = floor(abs(amount) + Fraction(1, 2))
    return magnitude if amount >= 0 else -magnitude


def total(price: Price, quantity: Fraction | int) -> Fraction:
    """Return the exact amount for a quantity over one full period, in minor units."""
    return sum((part.amount for part in parts(price, quantity)), Fraction(0))


def parts(price: Price, quantity: Fraction | int) -> list[Part]:
    """Split a price into lines for a quantity.

    One for a per-unit or volume price (two with a flat fee), otherwise one per tier.
    """
    units = _transformed(price, Fraction(quantity))
    if price.get("billing_scheme") != "tiered":
        unit = _decimal(price, "unit_amount")
        return [Part(units, unit, units * unit, "")]
    # A stored price has its tiers in a private field, because Stripe returns them only when expanded.
    tiers = list(price.get("tiers") or price["_tiers"])
    return _volume(tiers, units) if price["tiers_mode"] == "volume" else list(_graduated(tiers, units))


def is_metered(price: Price) -> bool:
    """Return whether the price is billed by usage after the period."""
    recurring = price.get("recurring") or {}
    return bool(recurring.get("usage_type") == "metered")


def show(amount: Fraction, currency: str) -> str:
    """Format money as in line descriptions: `€10.00`, `¥500`, `KWD 1.500`, `$0.0005`."""
    places = 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2
    major = Decimal(amount.numerator) / Decimal(amount.denominator) / (Decimal(10) ** places)
    text = f"{major:.{places}f}" if major == round(major, places) else format(major.normalize(), "f")
    return f"{_SYMBOLS[currency]}{text}" if currency in _SYMBOLS else f"{currency.upper()} {text}"


def decimal_text(amount: Fraction) -> str:
    """Format an exact amount as in Stripe's decimal strings: `1000`, `0.05`."""
    text = format(Decimal(amount.numerator) / Decimal(amount.denominator), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _volume(tiers: list[Price], units: Fraction) -> list[Part]:
    """Price every unit by the tier that contains the whole quantity."""
    number, tier = next(
        (n, t) for n, t in enumerate(tiers, start=1) if t["up_to"] is None or units <= t["up_to"]
    )
    return list(_tier_parts(number, tier, units))


def _graduated(tiers: list[Price], units: Fraction) -> Iterator[Part]:
    """Price each unit by its own tier; the first tier applies even to a quantity of zero."""
    below = Fraction(0)
    for number, tier in enumerate(tiers, start=1):
        if number > 1 and units <= below:
            return
        top = units if tier["up_to"] is None else min(units, Fraction(tier["up_to"]))
        yield from _tier_parts(number, tier, top - below)
        below = top if tier["up_to"] is None else Fraction(tier["up_to"])


def _tier_parts(number: int, tier: Price, units: Fraction) -> Iterator[Part]:
    unit, flat = _decimal(tier, "unit_amount"), _decimal(tier, "flat_amount")
    yield Part(units, unit, units * unit, f"Tier {number}")
    if flat:
        yield Part(Fraction(1), flat, flat, f"Tier {number} flat fee")


def _transformed(price: Price, units: Fraction) -> Fraction:
    """Apply `transform_quantity`: packages of N units, rounded up or down."""
    transform = price.get("transform_quantity")
    if not transform:
        return units
    packages = units / int(transform["divide_by"])
    return Fraction(ceil(packages) if transform["round"] == "up" else floor(packages))


def _decimal(holder: Price, name: str) -> Fraction:
    value = holder.get(f"{name}_decimal")
    if value is None:
        value = holder.get(name)
    return Fraction(Decimal(str(value))) if value is not None else Fraction(0)
