"""Transfer of a team's billing management."""

from services.seats.rejections import require_manager, require_open
from services.seats.repository import lock_team
from services.seats.service import service
from services.seats.snapshots import team_snapshot
from services.seats.state_changes import emit_team
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import seats as m


@service.command(m.TransferBillingManager)
async def transfer_billing_manager(work: UnitOfWork, command: m.TransferBillingManager) -> m.TeamFound:
    """Make another user the billing manager of a team.

    Raises Rejected `not_found`, `not_billing_manager`, `team_closed`.
    """
    team = await lock_team(work, command.team_id)
    require_manager(team, command.acting_as)
    require_open(team)
    if team.billing_manager != command.member.token:
        team.billing_manager = command.member.token
        team.manager_from = "transfer"
        emit_team(work, team, "changed")
    return m.TeamFound(team=team_snapshot(team))
