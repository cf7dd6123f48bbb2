"""What is asked about teams, seats, invitations, memberships and what a seat costs."""

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
    Told,
)
from tallystick.messages.seats.snapshots import SeatSnapshot, TeamSnapshot
from tallystick.messages.seats.teams import TeamFound
from tallystick.messages.seats.types import SERVICE, Holder, Member, SeatStatus, Token
from tallystick.messages.subscriptions.changes import ChangePreview
from tallystick.messages.subscriptions.invoices import Span
from tallystick.messages.subscriptions.types import Proration, Quantity, When


class SeatPage(Told):
    """A page of seats, newest first."""

    items: list[SeatSnapshot]
    next_cursor: str | None = None


class Invitation(Told):
    """What somebody who holds a token may know."""

    seat_id: EntityId
    team_id: EntityId
    customer: Customer = Field(description="Whose team it is.")
    email: str | None = Field(description="Who is invited.")
    member: Member | None
    role: str | None
    invited_at: Instant
    expires_at: Instant


class InvitationFound(Told):
    """The answer to `get_invitation`."""

    invitation: Invitation


class Membership(Told):
    """A claimed seat and the team it belongs to."""

    seat: SeatSnapshot
    team: TeamSnapshot


class MembershipPage(Told):
    """A page of memberships, newest first."""

    items: list[Membership]
    next_cursor: str | None = None


class SeatChangePreview(ChangePreview):
    """What another number of seats would cost. Nothing has happened yet."""

    quantity: PositiveCount


class MemberPayment(Told):
    """What one seat costs in the running period."""

    holder: Holder
    seat_id: EntityId | None = Field(description="Null for the owner and for what nobody holds.")
    member: Customer | None
    email: str | None
    seats: Count = Field(description="How many seats this is about: more than one only if unassigned.")
    amount: Amount = Field(description="In the currency's minor unit.")


class PaymentsOfMembers(Told):
    """What each seat costs in the running period; over all pages the amounts come to `total`."""

    team_id: EntityId
    period: Span | None = Field(description="Null while the subscription has none.")
    currency: Currency | None = Field(description="Null: nothing was invoiced for this period.")
    total: Amount = Field(description="Of the period's invoices, in the currency's minor unit.")
    invoice_ids: list[EntityId]
    items: list[MemberPayment]
    next_cursor: str | None = None


class GetTeam(Question[TeamFound], service=SERVICE, rejections=("not_found",)):
    """One team; of a customer: the newest that is open, else the newest."""

    team_id: EntityId | None = None
    subscription_id: EntityId | None = None
    customer: Customer | None = None

    @model_validator(mode="after")
    def _one_of_all(self) -> "GetTeam":
        if [self.team_id, self.subscription_id, self.customer].count(None) != 2:
            raise ValueError("give one of team_id, subscription_id and customer")
        return self


class ListSeats(Page, Question[SeatPage], service=SERVICE, rejections=("not_found",)):
    """A team's seats, newest first."""

    team_id: EntityId
    status: SeatStatus | None = None


class GetInvitation(Question[InvitationFound], service=SERVICE, rejections=("invitation_invalid",)):
    """What a token invites to. Looking changes nothing; dead and invented tokens are answered alike."""

    token: Token


class ListMemberships(Page, Question[MembershipPage], service=SERVICE):
    """The seats a user has claimed, newest first."""

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
    """What another number of seats would cost, with the lines that the change then makes."""

    team_id: EntityId
    quantity: Quantity
    when: When | None = None
    proration: Proration = "prorate"


class MemberPayments(Page, Question[PaymentsOfMembers], service=SERVICE, rejections=("not_found",)):
    """What each seat costs in the running period, proration included."""

    team_id: EntityId
