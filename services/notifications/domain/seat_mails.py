"""Notifications about seats and invitations."""

from services.notifications.domain.drafts import Draft
from tallystick.messages.seats import INVITING_EVENTS, SeatEvent


def is_invitation(name: str, event: SeatEvent) -> bool:
    """Whether an event announces an invitation, whose token is derived from the event."""
    seat = event.seat
    return name in INVITING_EVENTS and seat.status == "pending" and seat.expires_at is not None


def seat_drafts(name: str, event: SeatEvent) -> list[Draft]:
    """Return the notifications of a seat's event."""
    seat = event.seat
    customer = event.customer.token if event.customer else None
    if customer is None:
        return []
    facts = {"subscription_id": seat.subscription_id, "role": seat.role}
    holder = seat.email or (seat.member.id if seat.member else None)
    if is_invitation(name, event):
        # The command that made the invitation; its token is derived when the mail is written.
        invitation = facts | {"seat_id": seat.seat_id, "command_id": event.caused_by, "expires": _json(event)}
        return [Draft("invitation", event.event_id, seat.seat_id, customer, invitation)]
    if name == "claimed":
        return [Draft("seat_claimed", event.event_id, customer, customer, facts | {"holder": holder})]
    if name == "revoked" and seat.claimed_at is not None:
        return [Draft("seat_revoked", event.event_id, seat.seat_id, customer, facts)]
    return []


def _json(event: SeatEvent) -> str | None:
    return event.seat.expires_at.isoformat() if event.seat.expires_at else None
