"""Commands about teams: how many seats, and who manages them."""

from services.seats.rejections import refuse_closed, refuse_strangers
from services.seats.repository import lock_team
from services.seats.seat_count.change_seat_count import Counting
from services.seats.service import service
from services.seats.snapshots import team_snapshot
from services.seats.state_changes import tell_team
from shared.messaging.external_command import Steps
from shared.messaging.service_client import Asking
from shared.persistence.unit_of_work import Work
from tallystick.messages import seats as m


@service.external_command(m.ChangeSeatCount)
async def change_seat_count(steps: Steps, command: m.ChangeSeatCount, asking: Asking) -> m.TeamFound:
    """More seats or fewer."""
    return await Counting(steps, command, asking).carry_out()


@service.external_command(m.RemoveUnusedSeats)
async def remove_unused_seats(steps: Steps, command: m.RemoveUnusedSeats, asking: Asking) -> m.TeamFound:
    """As many as are taken."""
    return await Counting(steps, command, asking).carry_out()


@service.command(m.TransferBillingManager)
async def transfer_billing_manager(work: Work, command: m.TransferBillingManager) -> m.TeamFound:
    """Somebody else manages the team."""
    team = await lock_team(work, command.team_id)
    refuse_strangers(team, command.acting_as)
    refuse_closed(team)
    if team.billing_manager != command.member.token:
        team.billing_manager = command.member.token
        team.manager_from = "transfer"
        tell_team(work, team, "changed")
    return m.TeamFound(team=team_snapshot(team))
