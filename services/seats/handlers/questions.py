"""What can be asked about teams and seats."""

from services.seats import answering, holding
from services.seats.service import service
from shared.messaging.service_client import Asking
from shared.persistence.unit_of_work import Work
from tallystick.messages import seats as m


@service.question(m.GetTeam)
async def get_team(work: Work, question: m.GetTeam) -> m.TeamFound:
    """One team."""
    return await answering.get_team(work, question)


@service.question(m.ListSeats)
async def list_seats(work: Work, question: m.ListSeats) -> m.SeatPage:
    """A team's seats."""
    return await answering.seat_page(work, question)


@service.question(m.GetInvitation)
async def get_invitation(work: Work, question: m.GetInvitation) -> m.InvitationFound:
    """What a token invites to."""
    return await holding.look_at(work, question)


@service.question(m.ListMemberships)
async def list_memberships(work: Work, question: m.ListMemberships) -> m.MembershipPage:
    """Where a user has a seat."""
    return await answering.membership_page(work, question)


@service.question(m.PreviewSeatChange)
async def preview_seat_change(
    work: Work, question: m.PreviewSeatChange, asking: Asking
) -> m.SeatChangePreview:
    """What another number of seats would cost."""
    return await answering.preview_count(work, question, asking)


@service.question(m.MemberPayments)
async def member_payments(work: Work, question: m.MemberPayments) -> m.PaymentsOfMembers:
    """What each seat costs."""
    return await answering.payments(work, question)
