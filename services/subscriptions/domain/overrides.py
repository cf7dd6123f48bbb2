"""Overrides: exceptions for one customer that grant a feature, grant more of it, or take it away.

A granted quantity is added to what subscriptions grant; an override that takes a feature away wins over every
other source.
"""

from dataclasses import dataclass
from datetime import datetime

from services.subscriptions.domain.rule_violation import RuleViolation
from tallystick.messages.catalog import FeatureKind
from tallystick.messages.subscriptions import EntitlementSource

OVERRIDE_SOURCE = EntitlementSource(subscription_id=None, product=None, through="override")
"""The source of an entitlement that an override determines."""


@dataclass(frozen=True, slots=True)
class Override:
    """An override in force."""

    feature: str
    allowed: bool
    quantity: int | None
    """Null: unlimited, and for flags; without meaning where the feature is taken away."""
    until: datetime | None


@dataclass(frozen=True, slots=True)
class OverrideRequest:
    """The requested override."""

    feature: str
    kind: FeatureKind
    allowed: bool | None
    quantity: int | None
    until: datetime | None


def resolve_override(request: OverrideRequest, now: datetime) -> Override | None:
    """Return the requested override; None if it is over already, which ends the one in force.

    Raises RuleViolation `invalid_message` for a request without effect.
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
