"""What a price asks for a quantity over one whole period, exactly; all amounts in the currency's minor unit.

Prices have whole minor units only, so nothing here is ever rounded; what a part of a period costs is
`proration`'s business.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from tallystick.messages.catalog import Interval, Price, Tier

PERIODS_A_YEAR: dict[Interval, int] = {"day": 365, "week": 52, "month": 12, "year": 1}
"""By these, prices of different intervals are compared; nothing is charged by them."""


@dataclass(frozen=True, slots=True)
class PricePart:
    """A part of what a price asks: so many units at so much each, or a fee, which is one unit."""

    label: str
    quantity: int
    unit_amount: int

    @property
    def amount(self) -> int:
        """What this part costs."""
        return self.quantity * self.unit_amount


def period_amount(price: Price, quantity: int) -> int:
    """What a quantity costs for one whole period."""
    return sum(part.amount for part in price_parts(price, quantity))


def yearly_amount(price: Price, quantity: int) -> int:
    """The same for a year of such periods, to say which of two prices is the dearer."""
    return period_amount(price, quantity) * PERIODS_A_YEAR[price.interval]


def price_parts(price: Price, quantity: int) -> list[PricePart]:
    """What the amount is made of; parts that cost nothing are left out.

    Raises ValueError for less than one unit.
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
            # For the thing itself, however many seats come with it.
            yield PricePart("", 1, price.unit_amount or 0)
        case "per_seat":
            yield PricePart("", quantity, price.unit_amount or 0)
        case "volume":
            yield from _volume(price.tiers, quantity)
        case "graduated":
            yield from _graduated(price.tiers, quantity)


def _volume(tiers: list[Tier], quantity: int) -> Iterator[PricePart]:
    """Every unit at the price of the one tier that holds the whole quantity."""
    number, tier = next(
        (number, tier)
        for number, tier in enumerate(tiers, start=1)
        if tier.up_to is None or quantity <= tier.up_to
    )
    yield from _tier_parts(number, tier, quantity)


def _graduated(tiers: list[Tier], quantity: int) -> Iterator[PricePart]:
    """Each unit at the price of the tier that it falls in."""
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
