"""Who gets a seat: decided for many wishes in their order, each with an answer of its own."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from services.seats.domain.email_address import normalized
from services.seats.domain.rule_violation import Refused
from services.seats.domain.team_capacity import Room
from tallystick.messages.base import Customer
from tallystick.messages.seats import SeatToAssign


@dataclass(frozen=True, slots=True)
class NewSeat:
    """A wish that is granted."""

    email: str | None
    member: Customer | None
    wish: SeatToAssign

    @property
    def is_claimed(self) -> bool:
        """Whether it needs no invitation."""
        return self.wish.immediate


@dataclass(slots=True)
class Taken:
    """Who holds or is invited to a seat already; grows with each wish that is granted."""

    emails: set[str] = field(default_factory=set)
    members: set[str] = field(default_factory=set)
    """Tokens of customers."""

    def refuse(self, email: str | None, member: Customer | None) -> None:
        """Refuse whoever has a seat of this team with `seat_already_assigned`."""
        if email is not None and email in self.emails:
            raise Refused("seat_already_assigned", f"{email} has a seat of this team.", email=email)
        if member is not None and member.token in self.members:
            raise Refused(
                "seat_already_assigned", f"User {member.id} has a seat of this team.", member=member.id
            )

    def add(self, email: str | None, member: Customer | None) -> None:
        """From now on they have one."""
        if email is not None:
            self.emails.add(email)
        if member is not None:
            self.members.add(member.token)


def addresses_of(wishes: Sequence[SeatToAssign]) -> list[str | Refused | None]:
    """Each wish's address as it would be stored, None where it names none, or why it cannot be one."""
    return [_address(wish.email) for wish in wishes]


def decide(
    room: Room,
    taken: Taken,
    wishes: Sequence[SeatToAssign],
    addresses: Sequence[str | Refused | None],
) -> list[NewSeat | Refused]:
    """What becomes of each wish, with what `addresses_of` says of it; first come, first served.

    Refused with `invalid_email`, `multiplier_not_supported`, `seat_already_assigned`, `no_seat_available`,
    and `invalid_message` for a wish that names nobody.
    """
    available = room.available
    decided: list[NewSeat | Refused] = []
    for wish, address in zip(wishes, addresses, strict=True):
        try:
            seat = _new_seat(room, taken, wish, address)
            if available == 0:
                raise Refused(
                    "no_seat_available",
                    "All seats are taken. Buy more, or free one.",
                    quantity=room.terms.quantity,
                    occupied=room.occupied,
                )
        except Refused as refused:
            decided.append(refused)
            continue
        available -= 1
        taken.add(seat.email, seat.member)
        decided.append(seat)
    return decided


def refuse_multiplier(room: Room, multiplier: int) -> None:
    """Refuse a multiplier where all share one pool."""
    if room.terms.strategy == "per_team" and multiplier != 1:
        raise Refused("multiplier_not_supported", "This team shares one pool; its seats have no multiplier.")


def _new_seat(room: Room, taken: Taken, wish: SeatToAssign, address: str | Refused | None) -> NewSeat:
    if isinstance(address, Refused):
        raise address
    if address is None and wish.member is None:
        raise Refused("invalid_message", "Give email, member or both.")
    if wish.immediate and wish.member is None:
        raise Refused("invalid_message", "immediate needs the member who holds the seat.")
    refuse_multiplier(room, wish.multiplier)
    taken.refuse(address, wish.member)
    return NewSeat(email=address, member=wish.member, wish=wish)


def _address(typed: str | None) -> str | Refused | None:
    try:
        return normalized(typed) if typed is not None else None
    except Refused as refused:
        return refused
