"""Teams and seats as they stand, and the events that tell of their changes."""

from pydantic import Field

from tallystick.messages.base import (
    Count,
    Customer,
    EntityId,
    Event,
    Instant,
    PositiveCount,
    Told,
)
from tallystick.messages.catalog import OwnerSeat, SeatStrategy
from tallystick.messages.seats.types import SERVICE, Member, Multiplier, SeatStatus, TeamStatus
from tallystick.messages.subscriptions.types import When


class CountChange(Told):
    """A change of the number of seats that is being made."""

    quantity: Count = Field(description="0: the subscription changes to a plan without seats.")
    when: When | None = Field(description="Null: more at once, less when the period ends.")
    requested_at: Instant


class RefusedChange(Told):
    """Why the last change of the number of seats came to nothing."""

    quantity: PositiveCount
    code: str
    message: str
    at: Instant


class TeamSnapshot(Told):
    """A billing team as it stands."""

    team_id: EntityId
    version: PositiveCount
    subscription_id: EntityId
    customer: Customer = Field(description="Who pays.")
    strategy: SeatStrategy = Field(description="One pool of units for the team, or units for each seat.")
    owner_seat: OwnerSeat = Field(description="Whether the payer has a seat on top, one of those, or none.")
    quantity: Count = Field(description="Seats bought.")
    capacity: Count = Field(description="Seats bought, and the owner's where it is free.")
    occupied: Count = Field(description="Pending and claimed seats, and the owner's where there is one.")
    available: Count = Field(
        description="How many can be assigned now; less than is free while fewer seats are on the way."
    )
    seats_in_use: Count = Field(description="Those of the seats bought that are taken.")
    scheduled_quantity: Count | None = Field(
        description="How many seats there will be when the period ends; null: as many as now."
    )
    billing_manager: Customer = Field(description="Who may act for the team; exactly one.")
    suspended: bool = Field(description="Members have no access, but keep their seats.")
    status: TeamStatus
    change: CountChange | None = Field(description="A change of the number of seats that is being made.")
    refused_change: RefusedChange | None = Field(
        description="Why the last change came to nothing; null once another is asked for."
    )
    opened_at: Instant
    closed_at: Instant | None


class SeatSnapshot(Told):
    """A seat as it stands. Never holds an invitation's token."""

    seat_id: EntityId
    version: PositiveCount
    team_id: EntityId
    subscription_id: EntityId
    status: SeatStatus
    email: str | None = Field(description="Trimmed and in lower case.")
    member: Member | None = Field(description="Who holds it or, while it is pending, whom it is meant for.")
    multiplier: Multiplier
    prorated: bool = Field(
        default=False, description="The multiplier tops up only for what was left of a period."
    )
    role: str | None
    metadata: dict[str, str]
    invited_at: Instant
    expires_at: Instant | None = Field(description="Until when the invitation is good; null without one.")
    claimed_at: Instant | None
    revoked_at: Instant | None


class TeamEvent(
    Event,
    service=SERVICE,
    entity="billing_team",
    names=("opened", "changed", "suspended", "restored", "closed"),
    identity=("team_id",),
):
    """A team changed; `changed` comes once for all seats that one commit has taken or freed."""

    billing_team: TeamSnapshot


class SeatEvent(
    Event,
    service=SERVICE,
    entity="seat",
    names=("assigned", "claimed", "revoked", "replaced", "invitationResent", "multiplierChanged"),
):
    """A seat changed. Whoever sends invitations makes the token from the event (`token_told`)."""

    seat: SeatSnapshot
