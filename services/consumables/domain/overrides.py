"""What exceptions made for one customer mean for their own units.

An override that gives is one more source of units, beside whatever is subscribed to; one that takes away ends
what subscriptions give of the feature to the customer's own account, for as long as it is in force.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

from tallystick.messages.subscriptions import OverrideSnapshot

STATUS = "override"
"""What an override is among the subscriptions that are known: none that anybody pays for."""
PREFIX = "override."
"""How the ids of overrides among the subscriptions begin, and the keys of what they grant."""
REASON = "override_feature"
"""The reason of grants that overrides make; they are made by hand, by whoever set the override."""
FAR = datetime(9999, 1, 1, tzinfo=UTC)
"""The end of an override's period: until it is told that it has ended."""


def override_id(customer: str, feature: str) -> str:
    """Names all overrides of a customer's feature, one after the other: together they grant nothing twice."""
    return f"{PREFIX}{customer}.{feature}"


def giving(overrides: Iterable[OverrideSnapshot]) -> dict[str, OverrideSnapshot]:
    """By feature, the overrides that give units."""
    return {one.feature: one for one in overrides if one.allowed and one.kind != "flag"}


def taken_away(overrides: Iterable[OverrideSnapshot]) -> list[str]:
    """The features that a customer has nothing of, whatever is sold to them."""
    return sorted(one.feature for one in overrides if not one.allowed)
