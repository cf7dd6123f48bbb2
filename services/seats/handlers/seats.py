"""Commands about seats, from the invitation to the end."""

from services.seats.assignments import assign, seat_lifecycle
from services.seats.invitations.tokens import Invitations, show_token
from services.seats.service import service
from shared.persistence.unit_of_work import Work
from tallystick.messages import seats as m


@service.command(m.AssignSeat, together=True, reveal=show_token)
async def assign_seat(
    work: Work, commands: list[m.AssignSeat], invitations: Invitations
) -> list[assign.Answer]:
    """A seat each, for all that wait."""
    return await assign.assign_each(work, commands, invitations)


@service.command(m.AssignSeats, reveal=show_token)
async def assign_seats(work: Work, command: m.AssignSeats, invitations: Invitations) -> m.SeatsAssigned:
    """Many seats."""
    return await assign.assign_many(work, command, invitations)


@service.command(m.ClaimSeat)
async def claim_seat(work: Work, command: m.ClaimSeat) -> m.SeatClaimed:
    """Whoever was invited takes the seat."""
    return await seat_lifecycle.claim(work, command)


@service.command(m.ResendInvitation, reveal=show_token)
async def resend_invitation(
    work: Work, command: m.ResendInvitation, invitations: Invitations
) -> m.InvitationResent:
    """A new invitation instead of the one before."""
    return await seat_lifecycle.invite_again(work, command, invitations)


@service.command(m.RevokeSeat)
async def revoke_seat(work: Work, command: m.RevokeSeat) -> m.SeatFound:
    """The seat is free again."""
    return await seat_lifecycle.revoke(work, command)


@service.command(m.ReplaceSeat, reveal=show_token)
async def replace_seat(work: Work, command: m.ReplaceSeat, invitations: Invitations) -> m.SeatReplaced:
    """The seat is somebody else's."""
    return await seat_lifecycle.replace(work, command, invitations)


@service.command(m.SetSeatMultiplier)
async def set_seat_multiplier(work: Work, command: m.SetSeatMultiplier) -> m.SeatFound:
    """More units for one seat."""
    return await seat_lifecycle.multiply(work, command)
