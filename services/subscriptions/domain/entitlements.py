"""A customer's entitlements, computed from their subscriptions, the seats they hold, and overrides.

One source is enough for a flag; limits and units add up; unlimited stays unlimited.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from services.subscriptions.domain.overrides import OVERRIDE_SOURCE, Override
from services.subscriptions.domain.subscription_state import State
from tallystick.messages.subscriptions import (
    GRANTING_STATUSES,
    Allowance,
    EntitlementSource,
    ItemFeature,
    SubscriptionItem,
)

NO_ALLOWANCE = Allowance(allowed=False, quantity=0, sources=[], expires_at=None)
"""The allowance of a feature that no source grants."""
REVOKED_ALLOWANCE = Allowance(allowed=False, quantity=0, sources=[OVERRIDE_SOURCE], expires_at=None)
"""The allowance of a feature that an override takes away."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The quantity of one feature from one source."""

    feature: str
    quantity: int | None
    source: EntitlementSource
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class HeldSeat:
    """A claimed seat of a team that is open and not suspended, with the team's subscription."""

    seat_id: str
    subscription_id: str
    state: State
    multiplier: int


def compute_entitlements(
    subscriptions: Mapping[str, State],
    overrides: Iterable[Override] = (),
    seats: Iterable[HeldSeat] = (),
) -> dict[str, Allowance]:
    """Compute a customer's allowance by feature from subscriptions (by id), overrides and seats."""
    exceptions = list(overrides)
    grants: dict[str, list[Grant]] = {}
    for subscription_id, state in sorted(subscriptions.items()):
        for grant in subscription_grants(subscription_id, state):
            grants.setdefault(grant.feature, []).append(grant)
    for seat in sorted(seats, key=lambda held: held.seat_id):
        for grant in seat_grants(seat, is_payer=seat.subscription_id in subscriptions):
            grants.setdefault(grant.feature, []).append(grant)
    for exception in exceptions:
        if exception.allowed:
            grant = Grant(exception.feature, exception.quantity, OVERRIDE_SOURCE, exception.until)
            grants.setdefault(exception.feature, []).append(grant)
    merged = {feature: merge(of_feature) for feature, of_feature in grants.items()}
    taken = {exception.feature: REVOKED_ALLOWANCE for exception in exceptions if not exception.allowed}
    return dict(sorted((merged | taken).items()))


def subscription_grants(subscription_id: str, state: State) -> Iterator[Grant]:
    """Yield what a subscription grants to its paying customer."""
    if not grants_features(state):
        return
    expires_at = _decided_end(state)
    for item in state.items:
        source = EntitlementSource(subscription_id=subscription_id, product=item.product, through="owner")
        for given in item.features:
            if payer_has_feature(item, given):
                yield Grant(given.feature, _quantity(item, given), source, expires_at)


def seat_grants(seat: HeldSeat, *, is_payer: bool = False) -> Iterator[Grant]:
    """Yield what a seat grants to its holder: every feature of the product that is allowed for the team.

    Under `per_seat`, each seat has the product's quantity times its multiplier. Under `per_team`, the whole
    team shares one quantity, which every member sees; a holder who pays for the team sees it once.
    """
    if not grants_features(seat.state):
        return
    expires_at = _decided_end(seat.state)
    for item in seat.state.items:
        if item.seats is None:
            continue
        source = EntitlementSource(subscription_id=seat.subscription_id, product=item.product, through="seat")
        times = seat.multiplier if item.seats.strategy == "per_seat" else 1
        for given in item.features:
            is_counted = is_payer and _is_pool(item, given) and payer_has_feature(item, given)
            if given.team_allowed and not is_counted:
                quantity = _quantity(item, given)
                times_quantity = None if quantity is None else quantity * times
                yield Grant(given.feature, times_quantity, source, expires_at)


def seat_features(state: State) -> list[Grant]:
    """Return what a seat of the subscription grants; equal lists mean no change for seat holders.

    The seat has a multiplier of 2, so that a change in whether multipliers count is noticed.
    """
    return list(seat_grants(HeldSeat("", "sub_0", state, 2)))


def grants_features(state: State) -> bool:
    """Whether a subscription grants features at present."""
    return state.status in GRANTING_STATUSES and not state.restricted


def _decided_end(state: State) -> datetime | None:
    """Return the end of a subscription that is set to cancel; a period that renews has no such end."""
    return state.ends_at


def payer_has_feature(item: SubscriptionItem, given: ItemFeature) -> bool:
    """Whether the paying customer has a feature themselves.

    A feature that is not for the team is always theirs. Units for the team go to its pool, on which the payer
    may draw, or to each claimed seat, and nobody claims the owner's. Any other team feature is the payer's if
    the plan gives the owner a seat. The ledger grants by the same rules.
    """
    if item.seats is None or not given.team_allowed:
        return True
    if given.kind == "consumable":
        return item.seats.strategy == "per_team"
    return item.seats.owner_seat != "none"


def _is_pool(item: SubscriptionItem, given: ItemFeature) -> bool:
    """Whether the whole team shares one quantity of a feature."""
    is_per_team = item.seats is not None and item.seats.strategy == "per_team"
    return is_per_team and given.team_allowed and given.kind != "flag"


def merge(grants: Iterable[Grant]) -> Allowance:
    """Merge all grants of one feature into one allowance; at least one grant is required."""
    given = list(grants)
    quantities = [grant.quantity for grant in given]
    known = [quantity for quantity in quantities if quantity is not None]
    total = None if len(known) < len(quantities) else sum(known)
    ends = [grant.expires_at for grant in given if grant.expires_at is not None]
    return Allowance(
        allowed=total is None or total > 0,
        quantity=total,
        sources=_distinct(grant.source for grant in given),
        expires_at=max(ends) if len(ends) == len(given) else None,
    )


def _quantity(item: SubscriptionItem, given: ItemFeature) -> int | None:
    if given.kind == "flag" or given.quantity is None:
        return None
    # With seats, the quantity is per seat or per team; without, it is multiplied by the quantity bought.
    return given.quantity * (item.quantity if item.seats is None else 1)


def _distinct(sources: Iterable[EntitlementSource]) -> list[EntitlementSource]:
    kept: list[EntitlementSource] = []
    for source in sources:
        if source not in kept:
            kept.append(source)
    return kept
