"""Assignment of seats: many requests are decided in order, each with its own result."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from services.seats.domain.email_address import normalize_email
from services.seats.domain.rule_violation import RuleViolation
from services.seats.domain.team_capacity import Capacity
from tallystick.messages.base import Customer
from tallystick.messages.seats import SeatToAssign


@dataclass(frozen=True, slots=True)
class NewSeat:
    """An accepted request for a seat."""

    email: str | None
    member: Customer | None
    request: SeatToAssign

    @property
    def is_claimed(self) -> bool:
        """Whether the seat is claimed at once, without an invitation."""
        return self.request.immediate


@dataclass(slots=True)
class OccupiedSeats:
    """Email addresses and members that have a seat of the team; grows with each accepted request."""

    emails: set[str] = field(default_factory=set)
    members: set[str] = field(default_factory=set)
    """Customer tokens."""

    def require_free(self, email: str | None, member: Customer | None) -> None:
        """Raise RuleViolation `seat_already_assigned` if the address or the member has a seat of the team."""
        if email is not None and email in self.emails:
            raise RuleViolation("seat_already_assigned", f"{email} has a seat of this team.", email=email)
        if member is not None and member.token in self.members:
            raise RuleViolation(
                "seat_already_assigned", f"User {member.id} has a seat of this team.", member=member.id
            )

    def add(self, email: str | None, member: Customer | None) -> None:
        """Add the holder of a new seat."""
        if email is not None:
            self.emails.add(email)
        if member is not None:
            self.members.add(member.token)


def normalized_addresses(requests: Sequence[SeatToAssign]) -> list[str | RuleViolation | None]:
    """Return the address of each request in stored form, None if it has none, or the violation."""
    return [_address(request.email) for request in requests]


def decide_assignments(
    capacity: Capacity,
    occupied: OccupiedSeats,
    requests: Sequence[SeatToAssign],
    addresses: Sequence[str | RuleViolation | None],
) -> list[NewSeat | RuleViolation]:
    """Decide requests in their order, each with its result of `normalized_addresses`.

    The violations are `invalid_email`, `multiplier_not_supported`, `seat_already_assigned`,
    `no_seat_available`, and `invalid_message` for a request with neither an address nor a member.
    """
    available = capacity.available
    decided: list[NewSeat | RuleViolation] = []
    for request, address in zip(requests, addresses, strict=True):
        try:
            seat = _new_seat(capacity, occupied, request, address)
            if available == 0:
                raise RuleViolation(
                    "no_seat_available",
                    "All seats are taken. Buy more, or free one.",
                    quantity=capacity.terms.quantity,
                    occupied=capacity.occupied,
                )
        except RuleViolation as violation:
            decided.append(violation)
            continue
        available -= 1
        occupied.add(seat.email, seat.member)
        decided.append(seat)
    return decided


def _require_multiplier_allowed(capacity: Capacity, multiplier: int) -> None:
    """Raise RuleViolation `multiplier_not_supported` if the team shares one pool of units."""
    if capacity.terms.strategy == "per_team" and multiplier != 1:
        raise RuleViolation(
            "multiplier_not_supported", "This team shares one pool; its seats have no multiplier."
        )


def _new_seat(
    capacity: Capacity, occupied: OccupiedSeats, request: SeatToAssign, address: str | RuleViolation | None
) -> NewSeat:
    if isinstance(address, RuleViolation):
        raise address
    if address is None and request.member is None:
        raise RuleViolation("invalid_message", "Give email, member or both.")
    if request.immediate and request.member is None:
        raise RuleViolation("invalid_message", "immediate needs the member who holds the seat.")
    _require_multiplier_allowed(capacity, request.multiplier)
    occupied.require_free(address, request.member)
    return NewSeat(email=address, member=request.member, request=request)


def _address(typed: str | None) -> str | RuleViolation | None:
    try:
        return normalize_email(typed) if typed is not None else None
    except RuleViolation as violation:
        return violation
