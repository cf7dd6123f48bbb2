"""The exact amount of a price and quantity for one whole period, in the currency's minor unit.

Prices have whole minor units only, so nothing is rounded here; part of a period is computed in `proration`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from services.subscriptions.domain.billing_periods import billing_interval
from tallystick.messages.base import Money
from tallystick.messages.catalog import Price, Tier

NO_CURRENCY = "xxx"
"""ISO 4217's code for no currency, for a free price that has none."""


@dataclass(frozen=True, slots=True)
class PricePart:
    """A part of a price: a quantity at a unit amount, or a fee, which has a quantity of 1."""

    label: str
    quantity: int
    unit_amount: int

    @property
    def amount(self) -> int:
        """The amount of this part."""
        return self.quantity * self.unit_amount


def period_amount(price: Price, quantity: int) -> int:
    """Return the amount of a quantity for one whole period."""
    return sum(part.amount for part in price_parts(price, quantity))


def free_of_charge(price: Price) -> Money:
    """Return the amount of nothing, in the price's currency."""
    return Money(amount=0, currency=price.currency or NO_CURRENCY)


def yearly_amount(price: Price, quantity: int) -> Fraction:
    """Return the amount of a quantity for a year, to compare two prices."""
    return period_amount(price, quantity) * billing_interval(price).periods_a_year


def price_parts(price: Price, quantity: int) -> list[PricePart]:
    """Return the parts of the amount; parts that cost nothing are left out.

    Raises ValueError for a quantity below 1.
    """
    if quantity < 1:
        raise ValueError(f"{quantity} units of {price.code} cannot be bought")
    return [part for part in _parts(price, quantity) if part.unit_amount]


def _parts(price: Price, quantity: int) -> Iterator[PricePart]:
    if price.base_amount:
        yield PricePart("base", 1, price.base_amount)
    match price.model:
        case "free":
            return
        case "flat":
            # A flat price does not depend on the number of seats.
            yield PricePart("", 1, price.unit_amount or 0)
        case "per_seat":
            yield PricePart("", quantity, price.unit_amount or 0)
        case "volume":
            yield from _volume(price.tiers, quantity)
        case "graduated":
            yield from _graduated(price.tiers, quantity)


def _volume(tiers: list[Tier], quantity: int) -> Iterator[PricePart]:
    """Price every unit by the one tier that contains the whole quantity."""
    number, tier = next(
        (number, tier)
        for number, tier in enumerate(tiers, start=1)
        if tier.up_to is None or quantity <= tier.up_to
    )
    yield from _tier_parts(number, tier, quantity)


def _graduated(tiers: list[Tier], quantity: int) -> Iterator[PricePart]:
    """Price each unit by the tier that contains it."""
    below = 0
    for number, tier in enumerate(tiers, start=1):
        top = quantity if tier.up_to is None else min(quantity, tier.up_to)
        yield from _tier_parts(number, tier, top - below)
        if top == quantity:
            return
        below = top


def _tier_parts(number: int, tier: Tier, quantity: int) -> Iterator[PricePart]:
    yield PricePart(f"tier {number}", quantity, tier.unit_amount)
    yield PricePart(f"tier {number} fee", 1, tier.flat_amount)
