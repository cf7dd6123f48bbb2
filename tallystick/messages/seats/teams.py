"""Commands about a team as a whole: how many seats it has, and who manages it."""

from pydantic import Field

from tallystick.messages.base import Command, Customer, EntityId, Told
from tallystick.messages.seats.assignment import ACTING_AS
from tallystick.messages.seats.snapshots import TeamSnapshot
from tallystick.messages.seats.types import SERVICE, Member
from tallystick.messages.subscriptions.types import Proration, Quantity, When

WHEN = "Absent: more is given at once, less when the period ends; in a trial everything at once."
REFUSED_BY_THE_SUBSCRIPTION = (
    "seats_in_use",
    "quantity_out_of_range",
    "team_closed",
    "subscription_not_active",
    "payment_failed",
    "not_billing_manager",
)


class TeamFound(Told):
    """A team, as changed or as asked for."""

    team: TeamSnapshot


class ChangeSeatCount(Command[TeamFound], service=SERVICE, rejections=REFUSED_BY_THE_SUBSCRIPTION):
    """Buy more seats or fewer. What the subscription refuses, a failed payment above all, changes nothing."""

    team_id: EntityId
    quantity: Quantity
    when: When | None = Field(default=None, description=WHEN)
    proration: Proration = Field(default="prorate", description="What a change at once costs.")
    acting_as: Customer | None = Field(default=None, description=ACTING_AS)


class RemoveUnusedSeats(Command[TeamFound], service=SERVICE, rejections=REFUSED_BY_THE_SUBSCRIPTION):
    """Keep as many seats as are taken, if the product sells so few."""

    team_id: EntityId
    when: When | None = Field(default=None, description=WHEN)
    proration: Proration = Field(default="prorate", description="What a change at once costs.")
    acting_as: Customer | None = Field(default=None, description=ACTING_AS)


class TransferBillingManager(
    Command[TeamFound], service=SERVICE, rejections=("team_closed", "not_billing_manager")
):
    """Have somebody else manage the team from now on."""

    team_id: EntityId
    member: Member
    acting_as: Customer | None = Field(default=None, description=ACTING_AS)
