"""What can be asked about teams and seats."""

from services.seats import queries
from services.seats.assignments import seat_lifecycle
from services.seats.service import service
from shared.messaging.service_client import Asking
from shared.persistence.unit_of_work import Work
from tallystick.messages import seats as m


@service.question(m.GetTeam)
async def get_team(work: Work, question: m.GetTeam) -> m.TeamFound:
    """One team."""
    return await queries.get_team(work, question)


@service.question(m.ListSeats)
async def list_seats(work: Work, question: m.ListSeats) -> m.SeatPage:
    """A team's seats."""
    return await queries.seat_page(work, question)


@service.question(m.GetInvitation)
async def get_invitation(work: Work, question: m.GetInvitation) -> m.InvitationFound:
    """What a token invites to."""
    return await seat_lifecycle.look_at(work, question)


@service.question(m.ListMemberships)
async def list_memberships(work: Work, question: m.ListMemberships) -> m.MembershipPage:
    """Where a user has a seat."""
    return await queries.membership_page(work, question)


@service.question(m.PreviewSeatChange)
async def preview_seat_change(
    work: Work, question: m.PreviewSeatChange, asking: Asking
) -> m.SeatChangePreview:
    """What another number of seats would cost."""
    return await queries.preview_count(work, question, asking)


@service.question(m.MemberPayments)
async def member_payments(work: Work, question: m.MemberPayments) -> m.PaymentsOfMembers:
    """What each seat costs."""
    return await queries.payments(work, question)
