"""Commands that use units up, set them aside, give them and take them back."""

from collections.abc import Sequence

from services.consumables import by_hand, consuming
from services.consumables.service import service
from shared.work import Rejected, Work
from tallystick.messages import consumables as m


@service.command(m.Consume, together=True)
async def consume(work: Work, commands: Sequence[m.Consume]) -> list[bytes | Rejected]:
    """Use units; those who ask at the same moment share a commit."""
    return await consuming.consume(work, commands)


@service.command(m.Grant)
async def grant(work: Work, command: m.Grant) -> m.Granted:
    """Give units by hand."""
    return await by_hand.grant(work, command)


@service.command(m.RevokeGrant)
async def revoke_grant(work: Work, command: m.RevokeGrant) -> m.Granted:
    """Take back what is left of a grant."""
    return await by_hand.revoke_grant(work, command)
