"""Invitations that nobody accepted in time."""

from datetime import datetime

import sqlalchemy as sa

from services.seats.service import service
from services.seats.tables import SeatRow
from shared.messaging.service import tick_cause
from shared.persistence.unit_of_work import Transactions

EXPIRED_AT_ONCE = 2_000
"""Invitations that are ended in one transaction: few enough that nobody waits for their rows."""


@service.job("expire_invitations")
async def expire_invitations(transactions: Transactions, at: datetime) -> None:
    """Forget the tokens whose time is over; the seats stay, and can be invited to again."""
    due = (
        sa.select(SeatRow.seat_id)
        .where(SeatRow.token_hash.is_not(None), SeatRow.expires_at <= at)
        .order_by(SeatRow.expires_at)
        .limit(EXPIRED_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    statement = sa.update(SeatRow).where(SeatRow.seat_id.in_(due)).values(token_hash=None)
    ended = EXPIRED_AT_ONCE
    while ended == EXPIRED_AT_ONCE:
        async with transactions.begin(
            caused_by=tick_cause("seats", "expire_invitations", at), now=at
        ) as work:
            result = await work.session.execute(
                statement.execution_options(synchronize_session=False).returning(SeatRow.seat_id)
            )
            ended = len(result.all())
