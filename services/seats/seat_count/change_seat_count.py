"""Change of the number of seats: limit the team, change the subscription, record the result.

From the first step on no seat is assigned above the requested quantity. After a crash the caller or the sweep
runs the command again; it sends `subscriptions` the same command id and gets the same answer.
"""

import hashlib
from dataclasses import dataclass
from functools import partial
from typing import Any

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
from shared.messaging.external_command import ExternalCommandSteps
from shared.messaging.service_client import ServiceClient
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import seats as m
from tallystick.messages import subscriptions as s

SeatCountCommand = m.ChangeSeatCount | m.RemoveUnusedSeats


class SeatCountIntent(BaseModel):
    """The quantity to request from the subscription; None if nothing has to change."""

    model_config = ConfigDict(frozen=True)

    subscription_id: str
    quantity: int | None


@dataclass(frozen=True, slots=True)
class SeatCountChange:
    """One change of a team's number of seats."""

    steps: ExternalCommandSteps
    command: SeatCountCommand
    client: ServiceClient

    async def run(self) -> m.TeamFound:
        """Limit the team, change the subscription, and record the result.

        Raises Rejected `not_found`, `not_billing_manager`, `team_closed`, `seats_in_use`,
        `quantity_out_of_range`, and with the rejection of the subscription; Unavailable if the subscription
        does not answer or another change is in progress.
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
            **self._agreed(),
        )
        return await self.client.ask(command)

    def _agreed(self) -> dict[str, Any]:
        """Return the sum that was agreed to, and the moment it was computed for."""
        if not isinstance(self.command, m.ChangeSeatCount):
            return {}
        return {"due_now": self.command.due_now, "proration_date": self.command.proration_date}

    async def _undo_limit(self, quantity: int, rejection: Rejected) -> None:
        """Remove the limit and record the rejection; a crash before the command's outcome repeats this."""
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

    async def _record_change(self, subscription: s.SubscriptionSnapshot, work: UnitOfWork) -> m.TeamFound:
        # Lock in the same order as the feed consumer: the known subscription first, then the team.
        is_new = await project_subscription(work, subscription)
        team = await lock_team(work, self.command.team_id)
        was_in_progress = _belongs_to(team, self.command.command_id)
        if was_in_progress:
            team.change = None
        has_emitted = is_new and await update_team(work, subscription)
        if was_in_progress and not has_emitted and team.status == "open":
            emit_team(work, team, "changed")
        return m.TeamFound(team=team_snapshot(team))

    async def _record_unchanged(self, work: UnitOfWork) -> m.TeamFound:
        return m.TeamFound(team=team_snapshot(await lock_team(work, self.command.team_id)))


@service.external_command(m.ChangeSeatCount)
async def change_seat_count(
    steps: ExternalCommandSteps, command: m.ChangeSeatCount, client: ServiceClient
) -> m.TeamFound:
    """Purchase more seats or fewer; raises as `SeatCountChange.run`."""
    return await SeatCountChange(steps, command, client).run()


@service.external_command(m.RemoveUnusedSeats)
async def remove_unused_seats(
    steps: ExternalCommandSteps, command: m.RemoveUnusedSeats, client: ServiceClient
) -> m.TeamFound:
    """Reduce the seats to those that are occupied; raises as `SeatCountChange.run`."""
    return await SeatCountChange(steps, command, client).run()


def _is_in_effect(team: TeamRow, command: SeatCountCommand, quantity: int) -> bool:
    """Return whether the team has this quantity already, or will have it when requested."""
    terms = terms_of_team(team)
    if terms.scheduled_quantity is None:
        return quantity == terms.quantity
    return quantity == terms.scheduled_quantity and command.when != "now"


def _belongs_to(team: TeamRow, command_id: str) -> bool:
    return team.change is not None and team.change["command_id"] == command_id


def _subscription_command_id(command_id: str) -> str:
    """Return the id of the command to the subscription: the same on every run, and of limited length."""
    return f"seats.{hashlib.sha256(command_id.encode()).hexdigest()[:32]}"
