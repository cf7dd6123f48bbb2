"""Limits on a team while `subscriptions` itself changes the number of seats.

The limit is checked and set under the team's lock. Until it is released, no seat is assigned above the new
quantity.
"""

from services.seats.domain.team_capacity import require_enough
from services.seats.projections.subscription_projection import lock_open_team
from services.seats.rejections import reject_violations
from services.seats.service import service
from services.seats.snapshots import capacity_of
from services.seats.state_changes import emit_team
from services.seats.tables import KnownSubscription
from shared.errors import Unavailable
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import seats as m


@service.command(m.HoldSeatCount)
async def hold_seat_count(work: UnitOfWork, command: m.HoldSeatCount) -> m.SeatCountHeld:
    """Limit the seats of a subscription's team.

    Raises Rejected `seats_in_use`, Unavailable during another change.
    """
    team = await lock_open_team(work, command.subscription_id)
    if team is None:
        return m.SeatCountHeld(team_id=None)
    if team.change is not None:
        raise Unavailable("Another change of this team's seats is being made.")
    with reject_violations():
        require_enough(capacity_of(team), command.quantity)
    team.change = {
        "command_id": command.held_for,
        "quantity": command.quantity,
        "when": command.when,
        "requested_at": work.now.isoformat(),
    }
    emit_team(work, team, "changed")
    return m.SeatCountHeld(team_id=team.team_id)


@service.command(m.ReleaseSeatCount)
async def release_seat_count(work: UnitOfWork, command: m.ReleaseSeatCount) -> m.SeatCountHeld:
    """Remove the limit; raise Unavailable until the subscription's event of `version` has been projected."""
    known = await work.session.get(KnownSubscription, command.subscription_id)
    if command.version > (known.version if known else 0):
        raise Unavailable("The subscription's last change has not been heard of yet.")
    team = await lock_open_team(work, command.subscription_id)
    if team is None:
        return m.SeatCountHeld(team_id=None)
    if team.change is not None and team.change["command_id"] == command.held_for:
        team.change = None
        emit_team(work, team, "changed")
    return m.SeatCountHeld(team_id=team.team_id)
