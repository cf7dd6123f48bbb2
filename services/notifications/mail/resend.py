"""Sending a notification again, on request."""

from services.notifications.domain.drafts import Draft
from services.notifications.domain.recipients import INVITING_KINDS
from services.notifications.mail.queue import MailQueue
from services.notifications.rejections import require_notification
from services.notifications.service import service
from services.notifications.snapshots import notification_snapshot
from services.notifications.tables import KnownInvitationRow, KnownSeatRow
from shared.errors import Rejected
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import notifications as m


@service.command(m.ResendNotification)
async def resend_notification(
    work: UnitOfWork, command: m.ResendNotification, queue: MailQueue
) -> m.NotificationFound:
    """Queue a copy of a notification; raises Rejected `not_found` and `invitation_ended`."""
    row = await require_notification(work, command.notification_id)
    if row.kind in INVITING_KINDS and "seat_id" in row.facts:
        seat = await work.session.get(KnownSeatRow, row.recipient)
        invitation = await work.session.get(KnownInvitationRow, row.recipient)
        is_open = seat is not None and seat.status == "pending" and invitation is not None
        if not is_open or invitation is None or invitation.command_id != row.facts["command_id"]:
            raise Rejected("invitation_ended", "The invitation was accepted, revoked or replaced.")
    draft = Draft(row.kind, command.command_id, row.recipient, row.customer, row.facts)  # type: ignore[arg-type]
    added = await queue.add(work, [draft], happened_at=queue.clock.now(), is_forced=True)
    if not added:
        raise Rejected("not_found", f"This installation does not send mails of the kind {row.kind}.")
    return m.NotificationFound(notification=notification_snapshot(added[0]))
