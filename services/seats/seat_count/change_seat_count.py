"""Another number of seats: a limit and an intent first, then the subscription's word, then what came of it.

From the first step on nobody gets a seat that is about to go. Whoever meets the command again after a crash,
the caller or the sweep, asks the subscription again under the same id and so hears the same.
"""

import hashlib
from dataclasses import dataclass
from functools import partial

from pydantic import BaseModel, ConfigDict

from services.seats.domain.team_capacity import Capacity, quantity_without_unused, require_valid_quantity
from services.seats.projections.subscription_projection import project_subscription, update_team
from services.seats.rejections import reject_violations, require_manager, require_open
from services.seats.repository import lock_team
from services.seats.service import service
from services.seats.snapshots import capacity_of, team_snapshot, terms_of_team
from services.seats.state_changes import emit_team
from services.seats.tables import TeamRow
from shared.errors import Rejected, Unavailable
from shared.messaging.external_command import Steps
from shared.messaging.service_client import ServiceClient
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import seats as m
from tallystick.messages import subscriptions as s

SeatCountCommand = m.ChangeSeatCount | m.RemoveUnusedSeats


class SeatCountIntent(BaseModel):
    """What the subscription is asked for; without a quantity nothing has to change."""

    model_config = ConfigDict(frozen=True)

    subscription_id: str
    quantity: int | None


@dataclass(frozen=True, slots=True)
class SeatCountChange:
    """One change of the number of seats on its way."""

    steps: Steps
    command: SeatCountCommand
    client: ServiceClient

    async def run(self) -> m.TeamFound:
        """Limit, ask, and write what came of it.

        Raises Rejected `not_found`, `not_billing_manager`, `team_closed`, `seats_in_use`,
        `quantity_out_of_range`, and with whatever the subscription refuses; Unavailable while it does not
        answer or another change is being made.
        """
        intent = await self.steps.intend(self._limit, SeatCountIntent)
        if intent.quantity is None:
            return await self.steps.record(self._record_unchanged)
        try:
            changed = await self._request_change(intent.subscription_id, intent.quantity)
        except Rejected as rejection:
            await self._undo_limit(intent.quantity, rejection)
            raise
        return await self.steps.record(partial(self._record_change, changed.subscription))

    async def _limit(self, work: UnitOfWork) -> SeatCountIntent:
        team = await lock_team(work, self.command.team_id)
        require_manager(team, self.command.acting_as)
        require_open(team)
        if team.change is not None:
            raise Unavailable("Another change of this team's seats is being made.")
        capacity = capacity_of(team)
        quantity = self._requested_quantity(capacity)
        with reject_violations():
            require_valid_quantity(capacity, quantity)
        if _is_in_effect(team, self.command, quantity):
            return SeatCountIntent(subscription_id=team.subscription_id, quantity=None)
        team.change = {
            "command_id": self.command.command_id,
            "quantity": quantity,
            "when": self.command.when,
            "requested_at": work.now.isoformat(),
        }
        team.refused_change = None
        emit_team(work, team, "changed")
        return SeatCountIntent(subscription_id=team.subscription_id, quantity=quantity)

    def _requested_quantity(self, capacity: Capacity) -> int:
        if isinstance(self.command, m.ChangeSeatCount):
            return self.command.quantity
        return quantity_without_unused(capacity)

    async def _request_change(self, subscription_id: str, quantity: int) -> s.SubscriptionChanged:
        command = s.ChangeHeldQuantity(
            command_id=_subscription_command_id(self.command.command_id),
            requested_by=f"seats: {self.command.command_id}"[:200],
            subscription_id=subscription_id,
            quantity=quantity,
            when=self.command.when,
            proration=self.command.proration,
        )
        return await self.client.ask(command)

    async def _undo_limit(self, quantity: int, rejection: Rejected) -> None:
        """Lift the limit and say why; before the rejection is stored, so that a crash between repeats it."""
        transactions, command_id = self.steps.transactions, self.command.command_id
        async with transactions.begin(caused_by=command_id, now=self.steps.received_at) as work:
            team = await lock_team(work, self.command.team_id)
            if not _belongs_to(team, command_id):
                return
            team.change = None
            team.refused_change = {
                "quantity": quantity,
                "code": rejection.error.code,
                "message": rejection.error.message,
                "at": work.now.isoformat(),
            }
            emit_team(work, team, "changed")

    async def _record_change(self, told: s.SubscriptionSnapshot, work: UnitOfWork) -> m.TeamFound:
        # In the order of the feed's listener: first what is known, then the team.
        is_news = await project_subscription(work, told)
        team = await lock_team(work, self.command.team_id)
        was_being_changed = _belongs_to(team, self.command.command_id)
        if was_being_changed:
            team.change = None
        is_told = is_news and await update_team(work, told)
        if was_being_changed and not is_told and team.status == "open":
            emit_team(work, team, "changed")
        return m.TeamFound(team=team_snapshot(team))

    async def _record_unchanged(self, work: UnitOfWork) -> m.TeamFound:
        return m.TeamFound(team=team_snapshot(await lock_team(work, self.command.team_id)))


@service.external_command(m.ChangeSeatCount)
async def change_seat_count(steps: Steps, command: m.ChangeSeatCount, client: ServiceClient) -> m.TeamFound:
    """More seats or fewer."""
    return await SeatCountChange(steps, command, client).run()


@service.external_command(m.RemoveUnusedSeats)
async def remove_unused_seats(
    steps: Steps, command: m.RemoveUnusedSeats, client: ServiceClient
) -> m.TeamFound:
    """As many as are taken."""
    return await SeatCountChange(steps, command, client).run()


def _is_in_effect(team: TeamRow, command: SeatCountCommand, quantity: int) -> bool:
    """Whether there are so many seats already, or will be when that is asked for."""
    terms = terms_of_team(team)
    if terms.scheduled_quantity is None:
        return quantity == terms.quantity
    return quantity == terms.scheduled_quantity and command.when != "now"


def _belongs_to(team: TeamRow, command_id: str) -> bool:
    return team.change is not None and team.change["command_id"] == command_id


def _subscription_command_id(command_id: str) -> str:
    """The id under which the subscription is asked: the same on every re-run, and never too long."""
    return f"seats.{hashlib.sha256(command_id.encode()).hexdigest()[:32]}"
