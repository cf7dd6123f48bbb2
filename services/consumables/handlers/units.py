"""Commands that use units up, set them aside, give them and take them back."""

from collections.abc import Sequence
from datetime import datetime

from services.consumables.consumption import consume as consumption_consume
from services.consumables.consumption import consume_many as consumption_consume_many
from services.consumables.consumption import refunds_and_releases, reservations
from services.consumables.grants import manual_grants
from services.consumables.service import service
from shared.persistence.inbox import Inbox
from shared.persistence.unit_of_work import Rejected, Transactions, Work
from tallystick.messages import consumables as m


def drawn_for(wish: m.Wish) -> str:
    """Who takes turns where more want units than fit into one commit."""
    return wish.account or wish.consumer.token


@service.command(m.Consume, together=True, owner=drawn_for, reads=consumption_consume.reading)
async def consume(work: Work, commands: Sequence[m.Consume]) -> list[bytes | Rejected]:
    """Use units; those who ask at the same moment share a commit."""
    return await consumption_consume.consume(work, commands)


@service.command(
    m.ConsumeMany,
    together=True,
    together_max=consumption_consume_many.MESSAGES_AT_ONCE,
    reads=consumption_consume_many.reading,
)
async def consume_many(
    work: Work, commands: Sequence[m.ConsumeMany], inbox: Inbox
) -> list[bytes | Exception]:
    """Use units for each of many items."""
    return await consumption_consume_many.consume_many(work, commands, inbox)


@service.command(m.Release)
async def release(work: Work, command: m.Release) -> m.Left:
    """Free what was occupied of a limit."""
    return await refunds_and_releases.release(work, command)


@service.command(m.RefundConsumption)
async def refund_consumption(work: Work, command: m.RefundConsumption) -> m.Refunded:
    """Give back what a consumption used."""
    return await refunds_and_releases.refund(work, command)


@service.command(m.Reserve, together=True, owner=drawn_for, reads=consumption_consume.reading)
async def reserve(work: Work, commands: Sequence[m.Reserve]) -> list[bytes | Rejected]:
    """Set units aside."""
    return await reservations.reserve(work, commands)


@service.command(m.CommitReservation, together=True)
async def commit_reservation(
    work: Work, commands: Sequence[m.CommitReservation]
) -> list[m.Settled | Rejected]:
    """Use what was set aside."""
    return await reservations.commit(work, commands)


@service.command(m.ReleaseReservation, together=True)
async def release_reservation(
    work: Work, commands: Sequence[m.ReleaseReservation]
) -> list[m.Left | Rejected]:
    """Give back what was set aside."""
    return await reservations.release(work, commands)


@service.command(m.Grant)
async def grant(work: Work, command: m.Grant) -> m.Granted:
    """Give units by hand."""
    return await manual_grants.grant(work, command)


@service.command(m.RevokeGrant)
async def revoke_grant(work: Work, command: m.RevokeGrant) -> m.Granted:
    """Take back what is left of a grant."""
    return await manual_grants.revoke_grant(work, command)


@service.job("expire_reservations")
async def expire_reservations(transactions: Transactions, at: datetime) -> None:
    """Give back every reservation whose time is over by then."""
    await reservations.expire_due_reservations(transactions, at)
