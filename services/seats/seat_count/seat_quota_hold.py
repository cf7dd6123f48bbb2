"""Fewer seats sold by the subscription itself: whether they suffice is decided here, under the team's lock.

From then on nobody gets a seat that is about to go, until the subscription's own events say what came of it.
"""

from services.seats.projections.subscription_projection import lock_open_team
from services.seats.service import service
from services.seats.snapshots import capacity_of
from services.seats.state_changes import emit_team
from services.seats.tables import KnownSubscription
from shared.errors import Rejected, Unavailable
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import seats as m


@service.command(m.HoldSeatCount)
async def hold_seat_count(work: UnitOfWork, command: m.HoldSeatCount) -> m.SeatCountHeld:
    """Limit a subscription's team; raises Rejected `seats_in_use`, and Unavailable during another change."""
    team = await lock_open_team(work, command.subscription_id)
    if team is None:
        return m.SeatCountHeld(team_id=None)
    if team.change is not None:
        raise Unavailable("Another change of this team's seats is being made.")
    capacity = capacity_of(team)
    # More is always allowed, even where fewer were bought elsewhere than are taken.
    if command.quantity < min(capacity.seats_in_use, capacity.terms.quantity):
        raise Rejected(
            "seats_in_use",
            f"{capacity.seats_in_use} seats are taken. Free some first.",
            {"occupied": capacity.seats_in_use, "quantity": command.quantity},
        )
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
    """Lift the limit; raises Unavailable until the subscription's event has come, which may be one itself."""
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
