"""A customer's entitlements, computed from their subscriptions, the seats they hold, and overrides.

One source is enough for a flag; limits and units add up; unlimited stays unlimited.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    UpcomingAllowance,
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
    revocations = {exception.feature: exception for exception in exceptions if not exception.allowed}
    return {
        feature: over_time(grants.get(feature, []), revocations.get(feature))
        for feature in sorted(grants.keys() | revocations.keys())
    }


def subscription_grants(subscription_id: str, state: State) -> Iterator[Grant]:
    """Yield what a subscription grants to its paying customer."""
    if not grants_features(state):
        return
    expires_at = _known_end(state)
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
    expires_at = _known_end(seat.state)
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


def _known_end(state: State) -> datetime | None:
    """Return when a subscription stops granting, as far as that is known; a period that renews has no end.

    It does when it is set to cancel, and with the grace period of a payment that is due.
    """
    ends = [state.ends_at, state.grace_until if state.status == "past_due" else None]
    return min((end for end in ends if end is not None), default=None)


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


def over_time(grants: Sequence[Grant], revocation: Override | None) -> Allowance:
    """Merge all grants of one feature, with the changes that follow when one of several sources ends.

    At least one grant or the revocation is required.
    """
    ends = {grant.expires_at for grant in grants} | {revocation.until if revocation else None}
    now = _from(grants, revocation, None) or NO_ALLOWANCE
    upcoming: list[UpcomingAllowance] = []
    current = now
    for at in sorted(end for end in ends if end is not None):
        following = _from(grants, revocation, at)
        if following is not None and _differs(following, current):
            step = dict(following) | {"at": at}
            del step["upcoming"]
            upcoming.append(UpcomingAllowance(**step))
            current = following
    return now.model_copy(update={"upcoming": upcoming})


def allowance_at(allowance: Allowance, now: datetime) -> Allowance:
    """Return what an allowance has become by a time."""
    begun = [step for step in allowance.upcoming if step.at <= now]
    current = allowance
    if begun:
        fields = {name: value for name, value in begun[-1] if name != "at"}
        current = Allowance(**fields, upcoming=allowance.upcoming[len(begun) :])
    has_ended = current.expires_at is not None and current.expires_at <= now
    return NO_ALLOWANCE if has_ended else current


def _from(grants: Iterable[Grant], revocation: Override | None, at: datetime | None) -> Allowance | None:
    """Merge what has not ended by a time; None if nothing is left."""
    if revocation is not None and (at is None or revocation.until is None or revocation.until > at):
        return REVOKED_ALLOWANCE
    left = [grant for grant in grants if at is None or grant.expires_at is None or grant.expires_at > at]
    return merge(left) if left else None


def _differs(one: Allowance, other: Allowance) -> bool:
    return (one.allowed, one.quantity, one.expires_at) != (other.allowed, other.quantity, other.expires_at)


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
