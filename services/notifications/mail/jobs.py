"""Jobs: send what is due at a moment, remind of invitations, and forget old notifications."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from services.notifications.domain.drafts import Draft
from services.notifications.mail.queue import MailQueue
from services.notifications.mail.send_loop import SendLoop
from services.notifications.mail.sending import Mailer, MailTools
from services.notifications.service import service
from services.notifications.tables import KnownInvitationRow, KnownSeatRow, NotificationRow
from shared.messaging.service import tick_cause
from shared.persistence.unit_of_work import Transactions

REMIND_BEFORE = timedelta(days=2)
"""An invitation is remembered this long before it expires."""
REMIND_BATCH = 500
KEPT_FOR = timedelta(days=90)
"""Longer than the feed, so that nothing that is repeated from it is taken for new."""
CLEAN_BATCH = 5_000


@service.job("send_mails")
async def send_mails(transactions: Transactions, at: datetime, tools: MailTools) -> None:
    """Send everything that is due at a moment. The worker does so by itself all the time."""
    if tools.server is not None:
        await SendLoop(Mailer(transactions, tools), tools.server).send_due(at)


@service.job("remind_invitations")
async def remind_invitations(transactions: Transactions, at: datetime, queue: MailQueue) -> None:
    """Queue a reminder of every open invitation that expires soon, once for each invitation."""
    due = (
        sa.select(KnownInvitationRow)
        .where(
            sa.not_(KnownInvitationRow.is_reminded),
            KnownInvitationRow.expires_at <= at + REMIND_BEFORE,
        )
        .order_by(KnownInvitationRow.expires_at)
        .limit(REMIND_BATCH)
        .with_for_update(skip_locked=True)
    )
    found = REMIND_BATCH
    while found == REMIND_BATCH:
        async with transactions.begin(
            caused_by=tick_cause("notifications", "remind_invitations", at), now=at
        ) as work:
            invitations = (await work.session.scalars(due)).all()
            found = len(invitations)
            seats = {
                seat.seat_id: seat
                for seat in await work.session.scalars(
                    sa.select(KnownSeatRow).where(
                        KnownSeatRow.seat_id.in_([one.seat_id for one in invitations])
                    )
                )
            }
            drafts = [
                _reminder(one, seats[one.seat_id])
                for one in invitations
                if one.expires_at > at and one.seat_id in seats and seats[one.seat_id].status == "pending"
            ]
            for one in invitations:
                one.is_reminded = True
            await queue.add(work, drafts, happened_at=queue.clock.now())


def _reminder(invitation: KnownInvitationRow, seat: KnownSeatRow) -> Draft:
    facts = {
        "seat_id": seat.seat_id,
        "command_id": invitation.command_id,
        "subscription_id": seat.subscription_id,
        "expires": invitation.expires_at.isoformat(),
    }
    cause = f"{seat.seat_id}.{invitation.version}"
    return Draft("invitation_reminder", cause, seat.seat_id, seat.customer, facts)


@service.job("clean_up")
async def clean_up(transactions: Transactions, at: datetime) -> None:
    """Delete notifications that ended long ago."""
    old = (
        sa.select(NotificationRow.notification_id)
        .where(NotificationRow.created_at < at - KEPT_FOR, NotificationRow.status != "queued")
        .limit(CLEAN_BATCH)
    )
    deleted = CLEAN_BATCH
    while deleted == CLEAN_BATCH:
        async with transactions.begin(caused_by=tick_cause("notifications", "clean_up", at), now=at) as work:
            result = await work.session.execute(
                sa.delete(NotificationRow).where(NotificationRow.notification_id.in_(old))
            )
            deleted = result.rowcount  # type: ignore[attr-defined] # of a DELETE
