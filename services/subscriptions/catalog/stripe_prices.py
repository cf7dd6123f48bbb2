"""Converting a price's money to Stripe's fields, and comparing it with a price in Stripe.

`flat` on a product with seats becomes one tier with a flat amount, because Stripe multiplies a unit amount by
the number of seats. A base amount is a flat amount too: of the first tier where tiers add up (`graduated`),
of every tier where only the reached one counts (`volume`), and of a single tier for `per_seat`.
"""

from collections.abc import Mapping
from typing import Any, Literal

from tallystick.messages.base import TolerantModel
from tallystick.messages.catalog import Price, Tier

UNBOUNDED = "inf"
"""Stripe's value for an unbounded tier in requests; in responses it is null."""


class StripeMoney(TolerantModel):
    """The money of a price, as Stripe stores it; amounts in minor units."""

    currency: str
    interval: str
    interval_count: int
    unit_amount: int | None
    tiers_mode: Literal["volume", "graduated"] | None
    tiers: list[Tier]

    def parameters(self) -> dict[str, Any]:
        """Return the parameters that create such a price."""
        recurring = {
            "interval": self.interval,
            "interval_count": self.interval_count,
            "usage_type": "licensed",
        }
        common = {"currency": self.currency, "recurring": recurring}
        if self.tiers_mode is None:
            return common | {"billing_scheme": "per_unit", "unit_amount": self.unit_amount}
        return common | {
            "billing_scheme": "tiered",
            "tiers_mode": self.tiers_mode,
            "tiers": [
                {
                    "up_to": UNBOUNDED if tier.up_to is None else tier.up_to,
                    "unit_amount": tier.unit_amount,
                    "flat_amount": tier.flat_amount,
                }
                for tier in self.tiers
            ],
        }


def stripe_money(price: Price, *, has_seats: bool) -> StripeMoney:
    """Convert a price's money to Stripe's fields.

    Raises ValueError for a free price, which has no Stripe price.
    """
    unit, base = price.unit_amount or 0, price.base_amount
    if price.model == "free" or price.currency is None:
        raise ValueError(f"the free price {price.code} has no counterpart in Stripe")
    mode: Literal["volume", "graduated"] | None = None
    tiers: list[Tier] = []
    if price.model == "flat" and has_seats:
        mode, tiers = "graduated", [Tier(up_to=None, flat_amount=unit)]
    elif price.model == "per_seat" and base:
        mode, tiers = "graduated", [Tier(up_to=None, unit_amount=unit, flat_amount=base)]
    elif price.model == "volume":
        mode, tiers = "volume", [_with_base(tier, base) for tier in price.tiers]
    elif price.model == "graduated":
        mode, tiers = "graduated", [_with_base(price.tiers[0], base), *price.tiers[1:]]
    return StripeMoney(
        currency=price.currency,
        interval=price.interval,
        interval_count=price.interval_count,
        unit_amount=unit if mode is None else None,
        tiers_mode=mode,
        tiers=tiers,
    )


def money_differences(wanted: StripeMoney, found: Mapping[str, Any]) -> list[str]:
    """Return the fields in which a Stripe price, with its tiers expanded, differs."""
    recurring = found.get("recurring") or {}
    is_tiered = found.get("billing_scheme") == "tiered"
    pairs = {
        "currency": (wanted.currency, found.get("currency")),
        "recurring.interval": (wanted.interval, recurring.get("interval")),
        "recurring.interval_count": (wanted.interval_count, recurring.get("interval_count", 1)),
        "recurring.usage_type": ("licensed", recurring.get("usage_type", "licensed")),
        "transform_quantity": (None, found.get("transform_quantity")),
        "tiers_mode": (wanted.tiers_mode, found.get("tiers_mode")),
        "unit_amount": (wanted.unit_amount, None if is_tiered else found.get("unit_amount")),
        "tiers": (_steps(wanted.tiers), _found_steps(found)),
    }
    return [field for field, (ours, theirs) in pairs.items() if ours != theirs]


def behavior_parameters(price: Price) -> dict[str, Any]:
    """Return the parameter that says whether a price includes tax; Stripe accepts it once for each price."""
    return {"tax_behavior": price.tax_behavior} if price.tax_behavior is not None else {}


def behavior_differences(price: Price, found: Mapping[str, Any]) -> list[str]:
    """Return whether a Stripe price was given the other behaviour, which cannot be changed."""
    theirs = found.get("tax_behavior") or "unspecified"
    ours = price.tax_behavior or "unspecified"
    return ["tax_behavior"] if "unspecified" not in (ours, theirs) and ours != theirs else []


def _with_base(tier: Tier, base: int) -> Tier:
    return tier.model_copy(update={"flat_amount": tier.flat_amount + base})


def _steps(tiers: list[Tier]) -> list[tuple[Any, ...]]:
    return [(tier.up_to, tier.unit_amount, tier.flat_amount) for tier in tiers]


def _found_steps(found: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return [
        (tier.get("up_to"), _exact(tier, "unit_amount"), _exact(tier, "flat_amount"))
        for tier in found.get("tiers") or []
    ]


def _exact(tier: Mapping[str, Any], field: str) -> Any:
    """Return a whole amount, 0 if absent; a fraction of a cent stays a string, which never matches."""
    amount = tier.get(field)
    return amount if amount is not None else tier.get(f"{field}_decimal") or 0
