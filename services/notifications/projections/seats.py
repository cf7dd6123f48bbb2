"""Seats and their invitations, and the notifications about them."""

from services.notifications.domain.seat_mails import is_invitation, seat_drafts
from services.notifications.mail.queue import MailQueue
from services.notifications.service import service
from services.notifications.tables import KnownInvitationRow, KnownSeatRow
from shared.messaging.feed_consumer import EventName, keep_newest
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import seats


@service.event(seats.SeatEvent, name="follow_seat")
async def follow_seat(work: UnitOfWork, event: seats.SeatEvent, name: EventName, queue: MailQueue) -> None:
    """Keep a seat and its invitation, and queue the notifications of its event."""
    seat = event.seat
    customer = event.customer.token if event.customer else ""
    await keep_newest(
        work,
        KnownSeatRow,
        seat_id=seat.seat_id,
        version=event.version,
        customer=customer,
        subscription_id=seat.subscription_id,
        status=seat.status,
        email=seat.email,
        member=seat.member.token if seat.member else None,
    )
    if is_invitation(name, event):
        await keep_newest(
            work,
            KnownInvitationRow,
            seat_id=seat.seat_id,
            version=event.version,
            command_id=event.caused_by,
            expires_at=seat.expires_at,
            is_reminded=False,
        )
    await queue.add(work, seat_drafts(name, event), happened_at=event.occurred_at)
