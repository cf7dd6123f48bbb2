"""Exceptions made for one customer: giving a feature that nobody sold them, more of it, or taking it away.

What an override gives is added to what subscriptions give; one that takes away is stronger than any of them.
"""

from dataclasses import dataclass
from datetime import datetime

from services.subscriptions.domain.rule_violation import RuleViolation
from tallystick.messages.catalog import FeatureKind
from tallystick.messages.subscriptions import EntitlementSource

OVERRIDE_SOURCE = EntitlementSource(subscription_id=None, product=None, through="override")
"""How an entitlement says that an override is behind it."""


@dataclass(frozen=True, slots=True)
class Override:
    """An exception in force."""

    feature: str
    allowed: bool
    quantity: int | None
    """Null: unlimited, and for flags; without meaning where it takes away."""
    until: datetime | None


@dataclass(frozen=True, slots=True)
class OverrideRequest:
    """What was asked for."""

    feature: str
    kind: FeatureKind
    allowed: bool | None
    quantity: int | None
    until: datetime | None


def resolve_override(request: OverrideRequest, now: datetime) -> Override | None:
    """The override that a wish asks for; None where its time is over, which ends the one in force.

    Raises RuleViolation `invalid_message` for a wish that means nothing.
    """
    if request.until is not None and request.until <= now:
        return None
    if request.allowed is None and request.quantity is None:
        raise RuleViolation(
            "invalid_message", "Say how much there is, or whether it is allowed.", field="allowed"
        )
    if request.kind == "flag" and request.quantity is not None:
        raise RuleViolation(
            "invalid_message", f"{request.feature!r} is a flag: a customer has it or not.", field="quantity"
        )
    return Override(request.feature, request.allowed is not False, request.quantity, request.until)
