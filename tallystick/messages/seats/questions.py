"""Questions about teams, seats, invitations, memberships and the cost of seats."""

from pydantic import Field, model_validator

from tallystick.messages.base import (
    Amount,
    Count,
    Currency,
    Customer,
    EntityId,
    Instant,
    Page,
    PositiveCount,
    Question,
    TolerantModel,
)
from tallystick.messages.seats.snapshots import SeatSnapshot, TeamSnapshot
from tallystick.messages.seats.teams import TeamFound
from tallystick.messages.seats.types import SERVICE, Holder, Member, SeatStatus, Token
from tallystick.messages.subscriptions.changes import ChangePreview
from tallystick.messages.subscriptions.invoices import Span
from tallystick.messages.subscriptions.types import Proration, Quantity, When


class SeatPage(TolerantModel):
    """Page of seats, newest first."""

    items: list[SeatSnapshot]
    next_cursor: str | None = None


class Invitation(TolerantModel):
    """Invitation, as shown to the holder of its token."""

    seat_id: EntityId
    team_id: EntityId
    customer: Customer = Field(description="Customer the team belongs to.")
    email: str | None = Field(description="Invited email address.")
    member: Member | None
    role: str | None
    invited_at: Instant
    expires_at: Instant


class InvitationFound(TolerantModel):
    """Answer to `get_invitation`."""

    invitation: Invitation


class Membership(TolerantModel):
    """Claimed seat with its team."""

    seat: SeatSnapshot
    team: TeamSnapshot


class MembershipPage(TolerantModel):
    """Page of memberships, newest first."""

    items: list[Membership]
    next_cursor: str | None = None


class SeatChangePreview(ChangePreview):
    """Cost of changing the number of seats. Nothing has been changed."""

    quantity: PositiveCount


class MemberPayment(TolerantModel):
    """Cost of one seat in the current period."""

    holder: Holder
    seat_id: EntityId | None = Field(description="Null for the owner and for unassigned seats.")
    member: Customer | None
    email: str | None
    seats: Count = Field(description="Number of seats; more than one only if unassigned.")
    amount: Amount = Field(description="Amount in the currency's minor unit.")


class PaymentsOfMembers(TolerantModel):
    """Cost of each seat in the current period; over all pages the amounts add up to `total`."""

    team_id: EntityId
    period: Span | None = Field(description="Current period; null if the subscription has none.")
    currency: Currency | None = Field(description="Currency; null: nothing was invoiced for this period.")
    total: Amount = Field(description="Total of the period's invoices, in the currency's minor unit.")
    invoice_ids: list[EntityId]
    items: list[MemberPayment]
    next_cursor: str | None = None


class GetTeam(Question[TeamFound], service=SERVICE, rejections=("not_found",)):
    """Get a team. For a customer: the newest open team, else the newest."""

    team_id: EntityId | None = None
    subscription_id: EntityId | None = None
    customer: Customer | None = None

    @model_validator(mode="after")
    def _require_one(self) -> "GetTeam":
        if [self.team_id, self.subscription_id, self.customer].count(None) != 2:
            raise ValueError("give one of team_id, subscription_id and customer")
        return self


class TeamPage(TolerantModel):
    """Page of teams, newest first."""

    items: list[TeamSnapshot]
    next_cursor: str | None = None


class ListTeams(Page, Question[TeamPage], service=SERVICE):
    """List teams of a customer, or of all customers, newest first."""

    customer: Customer | None = None


class ListSeats(Page, Question[SeatPage], service=SERVICE, rejections=("not_found",)):
    """List a team's seats, newest first."""

    team_id: EntityId
    status: SeatStatus | None = None


class GetInvitation(Question[InvitationFound], service=SERVICE, rejections=("invitation_invalid",)):
    """Get the invitation of a token. Expired and unknown tokens get the same rejection."""

    token: Token


class ListMemberships(Page, Question[MembershipPage], service=SERVICE):
    """List the seats a user has claimed, newest first."""

    member: Member


class PreviewSeatChange(
    Question[SeatChangePreview],
    service=SERVICE,
    rejections=(
        "not_found",
        "seats_in_use",
        "quantity_out_of_range",
        "team_closed",
        "subscription_not_active",
        "payments_not_configured",
    ),
):
    """Preview the cost and invoice lines of changing the number of seats."""

    team_id: EntityId
    quantity: Quantity
    when: When | None = None
    proration: Proration = "prorate"


class MemberPayments(Page, Question[PaymentsOfMembers], service=SERVICE, rejections=("not_found",)):
    """Get the cost of each seat in the current period, including proration."""

    team_id: EntityId
