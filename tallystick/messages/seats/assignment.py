"""Commands of a seat's life: assigned, claimed, invited again, revoked, passed on, multiplied."""

from typing import Annotated

from pydantic import Field, model_validator

from tallystick.messages.base import Command, Count, Customer, EntityId, Strict, Told
from tallystick.messages.seats.snapshots import SeatSnapshot, TeamSnapshot
from tallystick.messages.seats.types import (
    ASSIGN_MAX_SEATS,
    SERVICE,
    Address,
    Member,
    Multiplier,
    Role,
    SeatMetadata,
    Token,
)

ACTING_AS = "On whose behalf; only the team's billing manager may. Absent: the caller has checked that."
TOKEN = "Shown here alone, 7 days good, used once. Null: the seat needs no invitation."


class SeatToAssign(Strict):
    """Who is to have a seat, and what kind of one."""

    email: Address | None = Field(default=None, description="Compared trimmed and in lower case.")
    member: Member | None = Field(default=None, description="A user who is known already.")
    multiplier: Multiplier = Field(default=1, description="1 to 100; only where units go to each seat.")
    immediate: bool = Field(default=False, description="Claimed at once, without an invitation.")
    role: Role | None = Field(default=None, description="The host application's own.")
    metadata: SeatMetadata = Field(default_factory=dict, description="10 keys, 1 KB.")


class SeatAssigned(Told):
    """A seat, and the invitation to it."""

    seat: SeatSnapshot
    invitation_token: str | None = Field(default=None, description=TOKEN)


class AssignedSeat(SeatAssigned):
    """One of many seats."""

    index: Count = Field(description="Its place in the command, from 0.")


class SeatError(Told):
    """Why one of many was not assigned."""

    index: Count = Field(description="Its place in the command, from 0.")
    code: str
    message: str


class SeatsAssigned(Told):
    """What became of each of many."""

    assigned: list[AssignedSeat]
    errors: list[SeatError]


class SeatClaimed(Told):
    """A seat that has found its holder."""

    seat: SeatSnapshot
    team: TeamSnapshot


class SeatFound(Told):
    """A seat, as changed."""

    seat: SeatSnapshot


class SeatReplaced(Told):
    """A seat with its new holder, who needs an invitation if only an address is known."""

    seat: SeatSnapshot
    invitation_token: str | None = Field(default=None, description=TOKEN)


class InvitationResent(Told):
    """A seat with a new invitation; the one before is dead."""

    seat: SeatSnapshot
    invitation_token: str | None = Field(default=None, description=TOKEN)


class AssignSeat(
    SeatToAssign,
    Command[SeatAssigned],
    service=SERVICE,
    rejections=(
        "no_seat_available",
        "seat_already_assigned",
        "team_closed",
        "invalid_email",
        "multiplier_not_supported",
        "not_billing_manager",
    ),
):
    """Give somebody a seat: by invitation or, where they are known, at once."""

    team_id: EntityId
    acting_as: Customer | None = Field(default=None, description=ACTING_AS)

    @model_validator(mode="after")
    def _somebody(self) -> "AssignSeat":
        if self.email is None and self.member is None:
            raise ValueError("give email, member or both")
        if self.immediate and self.member is None:
            raise ValueError("immediate needs the member who holds the seat")
        return self


class AssignSeats(Command[SeatsAssigned], service=SERVICE, rejections=("team_closed", "not_billing_manager")):
    """Give many people seats in one commit; each gets an answer of their own, in order."""

    team_id: EntityId
    seats: Annotated[list[SeatToAssign], Field(min_length=1, max_length=ASSIGN_MAX_SEATS)]
    acting_as: Customer | None = Field(default=None, description=ACTING_AS)


class ClaimSeat(
    Command[SeatClaimed],
    service=SERVICE,
    rejections=("invitation_invalid", "invitation_expired", "email_mismatch", "seat_already_assigned"),
):
    """Take the seat one was invited to.

    Expired, used, revoked and invented tokens are all `invitation_invalid`. Only the user whom an invitation
    was made out to by name hears that it is `invitation_expired`.
    """

    secrets = frozenset({"token"})

    token: Token
    member: Member
    email: Address | None = Field(
        default=None, description="The address the member has proved to be theirs; must be the invited one."
    )


class ResendInvitation(
    Command[InvitationResent], service=SERVICE, rejections=("seat_not_pending", "not_billing_manager")
):
    """Invite again, with a new token and another 7 days; also after the invitation has expired."""

    seat_id: EntityId
    acting_as: Customer | None = Field(default=None, description=ACTING_AS)


class RevokeSeat(Command[SeatFound], service=SERVICE, rejections=("not_billing_manager",)):
    """Take a seat back; it is free at once. One that is revoked stays so."""

    seat_id: EntityId
    acting_as: Customer | None = Field(default=None, description=ACTING_AS)


class ReplaceSeat(
    Command[SeatReplaced],
    service=SERVICE,
    rejections=("seat_already_assigned", "seat_revoked", "invalid_email", "not_billing_manager"),
):
    """Pass a seat on, with what is left of its units. A claimed seat is at once its new member's."""

    seat_id: EntityId
    email: Address | None = Field(default=None, description="Alone: the new holder is invited.")
    member: Member | None = None
    acting_as: Customer | None = Field(default=None, description=ACTING_AS)

    @model_validator(mode="after")
    def _somebody(self) -> "ReplaceSeat":
        if self.email is None and self.member is None:
            raise ValueError("give email, member or both")
        return self


class SetSeatMultiplier(
    Command[SeatFound],
    service=SERVICE,
    rejections=("multiplier_not_supported", "seat_revoked", "not_billing_manager"),
):
    """Have a seat get several times what the product grants each seat.

    What more that is tops the running period up, by all of it unless `prorate` asks for the part that is
    left of the period; less counts from the next grant on.
    """

    seat_id: EntityId
    multiplier: Multiplier
    prorate: bool = Field(default=False, description="Top up only for what is left of the period.")
    acting_as: Customer | None = Field(default=None, description=ACTING_AS)
