"""Commands for one seat: assign, claim, invite again, revoke, replace, set the multiplier."""

from typing import Annotated

from pydantic import Field, model_validator

from tallystick.messages.base import Command, Count, Customer, EntityId, Strict, TolerantModel
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

ACTING_AS = (
    "User who acts; must be the team's billing manager. Absent: the caller has authorized the command."
)
TOKEN = "Single-use invitation token, valid for 7 days and returned only here. Null: no invitation is needed."


class SeatToAssign(Strict):
    """Recipient and settings of a seat."""

    email: Address | None = Field(
        default=None, description="Email address; trimmed and lower-cased for comparison."
    )
    member: Member | None = Field(default=None, description="User who is already known.")
    multiplier: Multiplier = Field(default=1, description="1 to 100; only for the strategy `per_seat`.")
    immediate: bool = Field(default=False, description="Claim the seat immediately, without an invitation.")
    role: Role | None = Field(default=None, description="Role in the host application; not interpreted here.")
    metadata: SeatMetadata = Field(default_factory=dict, description="At most 10 keys and 1 KB.")


class SeatAssigned(TolerantModel):
    """Seat with its invitation token."""

    seat: SeatSnapshot
    invitation_token: str | None = Field(default=None, description=TOKEN)


class AssignedSeat(SeatAssigned):
    """Assigned seat of a batch."""

    index: Count = Field(description="Index in the command, from 0.")


class SeatError(TolerantModel):
    """Reason why a seat of a batch was not assigned."""

    index: Count = Field(description="Index in the command, from 0.")
    code: str
    message: str


class SeatsAssigned(TolerantModel):
    """Result of each seat in a batch."""

    assigned: list[AssignedSeat]
    errors: list[SeatError]


class SeatClaimed(TolerantModel):
    """Claimed seat with its team."""

    seat: SeatSnapshot
    team: TeamSnapshot


class SeatFound(TolerantModel):
    """Seat after the command."""

    seat: SeatSnapshot


class SeatReplaced(TolerantModel):
    """Seat with its new holder, who gets an invitation if only an email address is known."""

    seat: SeatSnapshot
    invitation_token: str | None = Field(default=None, description=TOKEN)


class InvitationResent(TolerantModel):
    """Seat with its new invitation; the previous one is invalid."""

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
    """Assign a seat: by invitation or, for a known user, immediately."""

    team_id: EntityId
    acting_as: Customer | None = Field(default=None, description=ACTING_AS)

    @model_validator(mode="after")
    def _require_holder(self) -> "AssignSeat":
        if self.email is None and self.member is None:
            raise ValueError("give email, member or both")
        if self.immediate and self.member is None:
            raise ValueError("immediate needs the member who holds the seat")
        return self


class AssignSeats(Command[SeatsAssigned], service=SERVICE, rejections=("team_closed", "not_billing_manager")):
    """Assign many seats in one commit; each gets its own result, in order."""

    team_id: EntityId
    seats: Annotated[list[SeatToAssign], Field(min_length=1, max_length=ASSIGN_MAX_SEATS)]
    acting_as: Customer | None = Field(default=None, description=ACTING_AS)


class ClaimSeat(
    Command[SeatClaimed],
    service=SERVICE,
    rejections=("invitation_invalid", "invitation_expired", "email_mismatch", "seat_already_assigned"),
):
    """Claim the seat of an invitation.

    Expired, used, revoked and unknown tokens are all rejected with `invitation_invalid`. Only a user who was
    invited as `member` gets `invitation_expired`.
    """

    secrets = frozenset({"token"})

    token: Token
    member: Member
    email: Address | None = Field(
        default=None, description="Verified email address of the member; must be the invited one."
    )


class ResendInvitation(
    Command[InvitationResent], service=SERVICE, rejections=("seat_not_pending", "not_billing_manager")
):
    """Send a new invitation, valid for 7 days; also after the previous one has expired."""

    seat_id: EntityId
    acting_as: Customer | None = Field(default=None, description=ACTING_AS)


class RevokeSeat(Command[SeatFound], service=SERVICE, rejections=("not_billing_manager",)):
    """Revoke a seat; it can be assigned again immediately. A revoked seat stays revoked."""

    seat_id: EntityId
    acting_as: Customer | None = Field(default=None, description=ACTING_AS)


class ReplaceSeat(
    Command[SeatReplaced],
    service=SERVICE,
    rejections=("seat_already_assigned", "seat_revoked", "invalid_email", "not_billing_manager"),
):
    """Give a seat, with its remaining units, to another holder. A claimed seat belongs to them at once."""

    seat_id: EntityId
    email: Address | None = Field(
        default=None, description="Email of the new holder; without `member` they are invited."
    )
    member: Member | None = None
    acting_as: Customer | None = Field(default=None, description=ACTING_AS)

    @model_validator(mode="after")
    def _require_holder(self) -> "ReplaceSeat":
        if self.email is None and self.member is None:
            raise ValueError("give email, member or both")
        return self


class SetSeatMultiplier(
    Command[SeatFound],
    service=SERVICE,
    rejections=("multiplier_not_supported", "seat_revoked", "not_billing_manager"),
):
    """Set how many times a seat gets the units that the product grants per seat.

    An increase tops up the current period, by the full difference or, with `prorate`, for the rest of the
    period only. A decrease applies from the next grant on.
    """

    seat_id: EntityId
    multiplier: Multiplier
    prorate: bool = Field(default=False, description="Top up only for the rest of the period.")
    acting_as: Customer | None = Field(default=None, description=ACTING_AS)
