"""Commands for a whole team: number of seats and billing manager."""

from pydantic import Field

from tallystick.messages.base import Command, Customer, EntityId, Instant, Money, TolerantModel
from tallystick.messages.seats.assignment import ACTING_AS
from tallystick.messages.seats.snapshots import TeamSnapshot
from tallystick.messages.seats.types import SERVICE, Member
from tallystick.messages.subscriptions.types import Proration, Quantity, When

WHEN = "Absent: upgrades apply now and downgrades at the end of the period; in a trial all apply now."
SUBSCRIPTION_REJECTIONS = (
    "seats_in_use",
    "quantity_out_of_range",
    "team_closed",
    "subscription_not_active",
    "payment_failed",
    "amount_changed",
    "not_billing_manager",
)


class TeamFound(TolerantModel):
    """A team after the command, or as queried."""

    team: TeamSnapshot


class ChangeSeatCount(Command[TeamFound], service=SERVICE, rejections=SUBSCRIPTION_REJECTIONS):
    """Change the number of seats. If the subscription rejects it or a payment fails, nothing changes."""

    team_id: EntityId
    quantity: Quantity
    when: When | None = Field(default=None, description=WHEN)
    proration: Proration = Field(default="prorate", description="How a change now is charged.")
    due_now: Money | None = Field(
        default=None, description="Amount of the preview that was agreed to; absent: not checked."
    )
    proration_date: Instant | None = Field(
        default=None, description="That of the preview, at most an hour old; absent: now."
    )
    acting_as: Customer | None = Field(default=None, description=ACTING_AS)


class RemoveUnusedSeats(Command[TeamFound], service=SERVICE, rejections=SUBSCRIPTION_REJECTIONS):
    """Reduce the number of seats to those in use, but not below the product's minimum."""

    team_id: EntityId
    when: When | None = Field(default=None, description=WHEN)
    proration: Proration = Field(default="prorate", description="How a change now is charged.")
    acting_as: Customer | None = Field(default=None, description=ACTING_AS)


class TransferBillingManager(
    Command[TeamFound], service=SERVICE, rejections=("team_closed", "not_billing_manager")
):
    """Transfer the role of billing manager to another user."""

    team_id: EntityId
    member: Member
    acting_as: Customer | None = Field(default=None, description=ACTING_AS)
