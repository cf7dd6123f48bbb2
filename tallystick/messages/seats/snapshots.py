"""Snapshots and events of teams and seats."""

from pydantic import Field

from tallystick.messages.base import (
    Count,
    Customer,
    EntityId,
    Event,
    Instant,
    PositiveCount,
    TolerantModel,
)
from tallystick.messages.catalog import OwnerSeat, SeatStrategy
from tallystick.messages.seats.types import SERVICE, Member, Multiplier, SeatStatus, TeamStatus
from tallystick.messages.subscriptions.types import When


class CountChange(TolerantModel):
    """Change of the number of seats that is in progress."""

    quantity: Count = Field(
        description="New number of seats; 0: the subscription changes to a plan without seats."
    )
    when: When | None = Field(description="Null: increases apply now, decreases at the end of the period.")
    requested_at: Instant


class RefusedChange(TolerantModel):
    """Last change of the number of seats that was rejected, with the reason."""

    quantity: PositiveCount
    code: str
    message: str
    at: Instant


class TeamSnapshot(TolerantModel):
    """Snapshot of a billing team."""

    team_id: EntityId
    version: PositiveCount
    subscription_id: EntityId
    customer: Customer = Field(description="Customer who pays.")
    strategy: SeatStrategy = Field(
        description="`per_team`: one pool of units for the team. `per_seat`: units per claimed seat."
    )
    owner_seat: OwnerSeat = Field(
        description="Owner's seat: on top of the bought seats (`free`), one of them (`billed`), or none."
    )
    quantity: Count = Field(description="Number of seats bought.")
    capacity: Count = Field(description="Seats bought, plus the owner's seat if it is free.")
    occupied: Count = Field(description="Pending and claimed seats, plus the owner's seat if there is one.")
    available: Count = Field(
        description="Seats that can be assigned now; while a reduction is pending, fewer than are free."
    )
    seats_in_use: Count = Field(
        description="Number of bought seats in use: assigned, or by members on machines, whichever are more."
    )
    members_reported: Count = Field(
        default=0, description="Members that the machines of the subscription's license report."
    )
    scheduled_quantity: Count | None = Field(
        description="Number of seats from the end of the period on; null: unchanged."
    )
    billing_manager: Customer = Field(description="Customer who may act for the team; exactly one.")
    suspended: bool = Field(description="Members have no access but keep their seats.")
    status: TeamStatus
    change: CountChange | None = Field(description="Change of the number of seats that is in progress.")
    refused_change: RefusedChange | None = Field(
        description="Last change if it was rejected; null once another is requested."
    )
    opened_at: Instant
    closed_at: Instant | None


class SeatSnapshot(TolerantModel):
    """Snapshot of a seat. It never contains an invitation token."""

    seat_id: EntityId
    version: PositiveCount
    team_id: EntityId
    subscription_id: EntityId
    status: SeatStatus
    email: str | None = Field(description="Email address, trimmed and in lower case.")
    member: Member | None = Field(description="Holder of the seat; while it is pending, the invited user.")
    multiplier: Multiplier
    prorated: bool = Field(default=False, description="The multiplier topped up only the rest of the period.")
    role: str | None
    metadata: dict[str, str]
    invited_at: Instant
    expires_at: Instant | None = Field(description="Time at which the invitation expires; null without one.")
    claimed_at: Instant | None
    revoked_at: Instant | None


class TeamEvent(
    Event,
    service=SERVICE,
    entity="billing_team",
    names=("opened", "changed", "suspended", "restored", "closed"),
    identity=("team_id",),
):
    """A team changed; `changed` is emitted once for all seats that one commit assigned or freed."""

    billing_team: TeamSnapshot


class SeatEvent(
    Event,
    service=SERVICE,
    entity="seat",
    names=("assigned", "claimed", "revoked", "replaced", "invitationResent", "multiplierChanged"),
):
    """A seat changed. Compute the token of an invitation from the event with `token_told`."""

    seat: SeatSnapshot
