"""What a subscription or a product gives to a license, and the state it requires of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tallystick.messages.catalog import LicenseRule, Product
from tallystick.messages.subscriptions import SubscriptionItem, SubscriptionSnapshot

TargetState = Literal["none", "active", "suspended", "ended"]
"""The state that a subscription requires of its license; `none`: it has not started, so nothing changes."""

_TARGET_STATES: dict[str, TargetState] = {
    "incomplete": "none",
    "trialing": "active",
    "active": "active",
    "past_due": "active",
    "unpaid": "suspended",
    "paused": "suspended",
    "canceled": "ended",
    "expired": "ended",
}


@dataclass(frozen=True, slots=True)
class LicenseTerms:
    """What a license allows."""

    product: str
    seats: int | None
    """None: not limited."""
    features: dict[str, int | None]
    """Units by feature; None: unlimited, or a flag."""
    instances: int
    grace_days: int
    offline_days: int
    expires_at: datetime | None
    """When it is set to end; None: it goes on."""


def target_state_of(subscription: SubscriptionSnapshot) -> TargetState:
    """Return the state that a subscription requires of its license."""
    target = _TARGET_STATES[subscription.status]
    return "suspended" if target == "active" and subscription.restricted else target


def terms_of_subscription(subscription: SubscriptionSnapshot) -> LicenseTerms | None:
    """Return the terms of a subscription's license; None if no product of it needs one."""
    item = next((item for item in subscription.items if item.license is not None), None)
    if item is None or item.license is None or item.product is None:
        return None
    return LicenseTerms(
        product=item.product,
        seats=max(1, item.quantity) if item.seats is not None else None,
        features=_sums((given.feature, _units(item, given.quantity)) for given in item.features),
        instances=item.license.instances,
        grace_days=item.license.grace_days,
        offline_days=item.license.offline_days,
        expires_at=_decided_end(subscription),
    )


def terms_by_hand(
    product: Product,
    *,
    seats: int | None,
    features: dict[str, int | None] | None,
    instances: int | None,
    expires_at: datetime | None,
) -> LicenseTerms:
    """Return the terms of a license that is issued by hand; None leaves a term to the product."""
    rule = product.license or LicenseRule()
    own = _sums((given.feature, given.quantity) for given in product.features)
    return LicenseTerms(
        product=product.code,
        seats=seats,
        features=own if features is None else dict(sorted(features.items())),
        instances=instances or rule.instances,
        grace_days=rule.grace_days,
        offline_days=rule.offline_days,
        expires_at=expires_at,
    )


def _decided_end(subscription: SubscriptionSnapshot) -> datetime | None:
    if subscription.cancel_at is not None:
        return subscription.cancel_at
    return subscription.current_period_end if subscription.cancel_at_period_end else None


def _units(item: SubscriptionItem, quantity: int | None) -> int | None:
    # As for entitlements: the quantity is the team's or each seat's; without seats, that of each one bought.
    return quantity if quantity is None or item.seats is not None else quantity * item.quantity


def _sums(given: Iterable[tuple[str, int | None]]) -> dict[str, int | None]:
    """Add up the units of each feature; unlimited once is unlimited."""
    sums: dict[str, int | None] = {}
    for feature, units in given:
        before = sums.get(feature, 0)
        sums[feature] = None if units is None or before is None else before + units
    return dict(sorted(sums.items()))
