"""State changes of teams and seats with their events; no other module writes these events.

The caller has locked the team's row, so versions are consecutive.
"""

from services.seats.domain.seats import Seat
from services.seats.domain.team_capacity import SeatTerms
from services.seats.snapshots import capacity_of, customer_of, seat_snapshot, team_snapshot
from services.seats.tables import SeatRow, TeamRow
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import seats as m


def emit_team(work: UnitOfWork, row: TeamRow, event: str, *, caused_by: str | None = None) -> None:
    """Increment a team's version and emit an event with its snapshot.

    `caused_by` is the cause where several events are handled together.
    """
    row.version += 1
    work.emit(
        m.TeamEvent,
        event,
        customer=customer_of(row.customer),
        version=row.version,
        caused_by=caused_by,
        billing_team=team_snapshot(row),
    )


def emit_seat(
    work: UnitOfWork, row: SeatRow | Seat, event: str, *, caused_by: str | None = None
) -> m.SeatSnapshot:
    """Increment a seat's version, emit an event with its snapshot, and return the snapshot.

    `caused_by` is the command's id where several commands are handled together.
    """
    row.version += 1
    snapshot = seat_snapshot(row)
    work.emit(
        m.SeatEvent,
        event,
        customer=customer_of(row.customer),
        version=row.version,
        caused_by=caused_by,
        seat=snapshot,
    )
    return snapshot


def set_terms(row: TeamRow, terms: SeatTerms) -> None:
    """Write a team's seat terms and the counts that follow from them."""
    row.strategy = terms.strategy
    row.owner_seat = terms.owner_seat
    row.quantity = terms.quantity
    row.minimum = terms.minimum
    row.maximum = terms.maximum
    row.scheduled_quantity = terms.scheduled_quantity
    row.capacity = terms.capacity
    row.occupied = row.holders + terms.owners
    # After a reduction elsewhere occupied seats stay, and no seat is added until enough are free.
    row.excess = capacity_of(row).excess


def take_seats(row: TeamRow, count: int) -> None:
    """Add newly assigned seats to the counts; a table constraint prevents more than the capacity."""
    row.holders += count
    row.occupied += count


def free_seats(row: TeamRow, count: int) -> None:
    """Subtract freed seats from the counts."""
    row.holders -= count
    row.occupied -= count
    row.excess = capacity_of(row).excess


def invalidate_invitation(row: SeatRow) -> None:
    """Invalidate the invitation of a seat."""
    row.token_hash = None
    row.expires_at = None
