"""What subscriptions says before and after it sells a team fewer seats."""

from services.seats.seat_count import seat_quota_hold
from services.seats.service import service
from shared.persistence.unit_of_work import Work
from tallystick.messages import seats as m


@service.command(m.HoldSeatCount)
async def hold_seat_count(work: Work, command: m.HoldSeatCount) -> m.SeatCountHeld:
    """No more than so many seats, for now."""
    return await seat_quota_hold.hold(work, command)


@service.command(m.ReleaseSeatCount)
async def release_seat_count(work: Work, command: m.ReleaseSeatCount) -> m.SeatCountHeld:
    """As many as are bought."""
    return await seat_quota_hold.release(work, command)
