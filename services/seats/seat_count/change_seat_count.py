"""Another number of seats: a limit and an intent first, then the subscription's word, then what came of it.

From the first step on nobody gets a seat that is about to go. Whoever meets the command again after a crash,
the caller or the sweep, asks the subscription again under the same id and so hears the same.
"""

import hashlib
from dataclasses import dataclass
from functools import partial

from pydantic import BaseModel, ConfigDict

from services.seats.domain.team_capacity import Room, refuse_count, unused_removed
from services.seats.projections.subscription_projection import lead_team, note_subscription
from services.seats.rejections import as_rejections, refuse_closed, refuse_strangers
from services.seats.repository import lock_team
from services.seats.service import service
from services.seats.snapshots import room_of, team_snapshot, terms_of_row
from services.seats.state_changes import emit_team
from services.seats.tables import TeamRow
from shared.errors import Rejected, Unavailable
from shared.messaging.external_command import ExternalCommandSteps
from shared.messaging.service_client import ServiceClient
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import seats as m
from tallystick.messages import subscriptions as s

CountCommand = m.ChangeSeatCount | m.RemoveUnusedSeats


class CountIntent(BaseModel):
    """What the subscription is asked for; without a quantity nothing has to change."""

    model_config = ConfigDict(frozen=True)

    subscription_id: str
    quantity: int | None


@dataclass(frozen=True, slots=True)
class Counting:
    """One change of the number of seats on its way."""

    steps: ExternalCommandSteps
    command: CountCommand
    client: ServiceClient

    async def carry_out(self) -> m.TeamFound:
        """Limit, ask, and write what came of it.

        Raises Rejected `not_found`, `not_billing_manager`, `team_closed`, `seats_in_use`,
        `quantity_out_of_range`, and with whatever the subscription refuses; Unavailable while it does not
        answer or another change is being made.
        """
        intent = await self.steps.intend(self._plan, CountIntent)
        if intent.quantity is None:
            return await self.steps.record(self._unchanged)
        try:
            changed = await self._ask(intent.subscription_id, intent.quantity)
        except Rejected as rejection:
            await self._put_back(intent.quantity, rejection)
            raise
        return await self.steps.record(partial(self._record, changed.subscription))

    async def _plan(self, work: UnitOfWork) -> CountIntent:
        team = await lock_team(work, self.command.team_id)
        refuse_strangers(team, self.command.acting_as)
        refuse_closed(team)
        if team.change is not None:
            raise Unavailable("Another change of this team's seats is being made.")
        room = room_of(team)
        quantity = self._wanted(room)
        with as_rejections():
            refuse_count(room, quantity)
        if _is_so(team, self.command, quantity):
            return CountIntent(subscription_id=team.subscription_id, quantity=None)
        team.change = {
            "command_id": self.command.command_id,
            "quantity": quantity,
            "when": self.command.when,
            "requested_at": work.now.isoformat(),
        }
        team.refused_change = None
        emit_team(work, team, "changed")
        return CountIntent(subscription_id=team.subscription_id, quantity=quantity)

    def _wanted(self, room: Room) -> int:
        if isinstance(self.command, m.ChangeSeatCount):
            return self.command.quantity
        return unused_removed(room)

    async def _ask(self, subscription_id: str, quantity: int) -> s.SubscriptionChanged:
        command = s.ChangeHeldQuantity(
            command_id=_id_for(self.command.command_id),
            requested_by=f"seats: {self.command.command_id}"[:200],
            subscription_id=subscription_id,
            quantity=quantity,
            when=self.command.when,
            proration=self.command.proration,
        )
        return await self.client.ask(command)

    async def _put_back(self, quantity: int, rejection: Rejected) -> None:
        """Lift the limit and say why; before the rejection is stored, so that a crash between repeats it."""
        transactions, command_id = self.steps.transactions, self.command.command_id
        async with transactions.begin(caused_by=command_id, now=self.steps.received_at) as work:
            team = await lock_team(work, self.command.team_id)
            if not _is_of(team, command_id):
                return
            team.change = None
            team.refused_change = {
                "quantity": quantity,
                "code": rejection.error.code,
                "message": rejection.error.message,
                "at": work.now.isoformat(),
            }
            emit_team(work, team, "changed")

    async def _record(self, told: s.SubscriptionSnapshot, work: UnitOfWork) -> m.TeamFound:
        # In the order of the feed's listener: first what is known, then the team.
        is_news = await note_subscription(work, told)
        team = await lock_team(work, self.command.team_id)
        was_being_changed = _is_of(team, self.command.command_id)
        if was_being_changed:
            team.change = None
        is_told = is_news and await lead_team(work, told)
        if was_being_changed and not is_told and team.status == "open":
            emit_team(work, team, "changed")
        return m.TeamFound(team=team_snapshot(team))

    async def _unchanged(self, work: UnitOfWork) -> m.TeamFound:
        return m.TeamFound(team=team_snapshot(await lock_team(work, self.command.team_id)))


@service.external_command(m.ChangeSeatCount)
async def change_seat_count(
    steps: ExternalCommandSteps, command: m.ChangeSeatCount, client: ServiceClient
) -> m.TeamFound:
    """More seats or fewer."""
    return await Counting(steps, command, client).carry_out()


@service.external_command(m.RemoveUnusedSeats)
async def remove_unused_seats(
    steps: ExternalCommandSteps, command: m.RemoveUnusedSeats, client: ServiceClient
) -> m.TeamFound:
    """As many as are taken."""
    return await Counting(steps, command, client).carry_out()


def _is_so(team: TeamRow, command: CountCommand, quantity: int) -> bool:
    """Whether there are so many seats already, or will be when that is asked for."""
    terms = terms_of_row(team)
    if terms.scheduled_quantity is None:
        return quantity == terms.quantity
    return quantity == terms.scheduled_quantity and command.when != "now"


def _is_of(team: TeamRow, command_id: str) -> bool:
    return team.change is not None and team.change["command_id"] == command_id


def _id_for(command_id: str) -> str:
    """The id under which the subscription is asked: the same on every re-run, and never too long."""
    return f"seats.{hashlib.sha256(command_id.encode()).hexdigest()[:32]}"
