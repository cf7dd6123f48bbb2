"""Who gets a seat: decided for many wishes in their order, each with an answer of its own."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from services.seats.domain.addresses import normalized
from services.seats.domain.refusals import Refused
from services.seats.domain.teams import Room
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


def addresses_in(wishes: Sequence[SeatToAssign]) -> list[str]:
    """The well-formed addresses among the wishes, as they would be stored."""
    found = []
    for wish in wishes:
        try:
            if wish.email is not None:
                found.append(normalized(wish.email))
        except Refused:
            continue
    return found


def decide(room: Room, taken: Taken, wishes: Sequence[SeatToAssign]) -> list[NewSeat | Refused]:
    """What becomes of each wish, first come, first served.

    Refused with `invalid_email`, `multiplier_not_supported`, `seat_already_assigned`, `no_seat_available`,
    and `invalid_message` for a wish that names nobody.
    """
    available = room.available
    decided: list[NewSeat | Refused] = []
    for wish in wishes:
        try:
            seat = _new_seat(room, taken, wish)
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


def _new_seat(room: Room, taken: Taken, wish: SeatToAssign) -> NewSeat:
    if wish.email is None and wish.member is None:
        raise Refused("invalid_message", "Give email, member or both.")
    if wish.immediate and wish.member is None:
        raise Refused("invalid_message", "immediate needs the member who holds the seat.")
    email = normalized(wish.email) if wish.email is not None else None
    refuse_multiplier(room, wish.multiplier)
    taken.refuse(email, wish.member)
    return NewSeat(email=email, member=wish.member, wish=wish)
