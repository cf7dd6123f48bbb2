"""What an item of a subscription costs a month, as an exact fraction of minor units."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from tallystick.messages.catalog import Interval, PriceModel, Tier

PERIODS_A_MONTH: dict[Interval, Fraction] = {
    "day": Fraction(365, 12),
    "week": Fraction(52, 12),
    "month": Fraction(1),
    "year": Fraction(1, 12),
}
"""How often a period of one interval recurs in a month of a year of 365 days and 52 weeks."""


@dataclass(frozen=True, slots=True)
class PriceTerms:
    """What a price costs each period; `unit_amount` is null where tiers define it."""

    model: PriceModel
    currency: str | None
    interval: Interval
    interval_count: int = 1
    unit_amount: int | None = None
    base_amount: int = 0
    tiers: tuple[Tier, ...] = ()


@dataclass(frozen=True, slots=True)
class Item:
    """A quantity of a price of the catalog, or of a price of its own (`terms`)."""

    price: str | None
    quantity: int
    terms: PriceTerms | None = None


Prices = Mapping[str, PriceTerms]
"""The terms of the catalog's prices, by code."""


@dataclass(frozen=True, slots=True)
class MonthlyPrice:
    """A monthly amount; without a currency it is nothing."""

    amount: Fraction = Fraction(0)
    currency: str | None = None


def monthly_price(items: Sequence[Item], prices: Prices) -> MonthlyPrice:
    """Return the monthly list price of items; prices that are not known cost nothing."""
    amount, currency = Fraction(0), None
    for item in items:
        terms = item.terms or prices.get(item.price or "")
        if terms is None or terms.currency is None:
            continue
        currency = currency or terms.currency
        if terms.currency == currency:
            a_month = PERIODS_A_MONTH[terms.interval] / terms.interval_count
            amount += period_amount(terms, item.quantity) * a_month
    return MonthlyPrice(amount, currency)


def period_amount(terms: PriceTerms, quantity: int) -> int:
    """Return the amount of a quantity for one whole period, in minor units."""
    match terms.model:
        case "free":
            return 0
        case "flat":
            return terms.base_amount + (terms.unit_amount or 0)
        case "per_seat":
            return terms.base_amount + quantity * (terms.unit_amount or 0)
        case "volume":
            return terms.base_amount + (_volume(terms.tiers, quantity) if quantity else 0)
        case "graduated":
            return terms.base_amount + _graduated(terms.tiers, quantity)


def _volume(tiers: Sequence[Tier], quantity: int) -> int:
    tier = next(tier for tier in tiers if tier.up_to is None or quantity <= tier.up_to)
    return quantity * tier.unit_amount + tier.flat_amount


def _graduated(tiers: Sequence[Tier], quantity: int) -> int:
    amount = below = 0
    for tier in tiers:
        if quantity <= below:
            break
        top = quantity if tier.up_to is None else min(quantity, tier.up_to)
        amount += (top - below) * tier.unit_amount + tier.flat_amount
        below = top
    return amount
