"""Expiry of invitations that were not accepted in time."""

from datetime import datetime

import sqlalchemy as sa

from services.seats.service import service
from services.seats.tables import SeatRow
from shared.messaging.service import tick_cause
from shared.persistence.unit_of_work import Transactions

EXPIRE_BATCH_INVITATIONS = 2_000
"""Invitations per transaction; few enough that other transactions do not wait long for the rows."""


@service.job("expire_invitations")
async def expire_invitations(transactions: Transactions, at: datetime) -> None:
    """Delete the tokens of expired invitations; the seats stay pending and can be invited again."""
    due = (
        sa.select(SeatRow.seat_id)
        .where(SeatRow.token_hash.is_not(None), SeatRow.expires_at <= at)
        .order_by(SeatRow.expires_at)
        .limit(EXPIRE_BATCH_INVITATIONS)
        .with_for_update(skip_locked=True)
    )
    statement = sa.update(SeatRow).where(SeatRow.seat_id.in_(due)).values(token_hash=None)
    ended = EXPIRE_BATCH_INVITATIONS
    while ended == EXPIRE_BATCH_INVITATIONS:
        async with transactions.begin(
            caused_by=tick_cause("seats", "expire_invitations", at), now=at
        ) as work:
            result = await work.session.execute(
                statement.execution_options(synchronize_session=False).returning(SeatRow.seat_id)
            )
            ended = len(result.all())
