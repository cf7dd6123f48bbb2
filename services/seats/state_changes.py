"""Writing what has changed together with the events that tell of it: the only place that does so.

The caller has locked the team's row, so versions follow one another.
"""

from services.seats.domain.seats import Seat
from services.seats.domain.team_capacity import SeatTerms
from services.seats.snapshots import capacity_of, customer_of, seat_snapshot, team_snapshot
from services.seats.tables import SeatRow, TeamRow
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import seats as m


def emit_team(work: UnitOfWork, row: TeamRow, event: str) -> None:
    """Count a team's change and tell it with all that the row says."""
    row.version += 1
    work.emit(
        m.TeamEvent,
        event,
        customer=customer_of(row.customer),
        version=row.version,
        billing_team=team_snapshot(row),
    )


def emit_seat(
    work: UnitOfWork, row: SeatRow | Seat, event: str, *, caused_by: str | None = None
) -> m.SeatSnapshot:
    """Count a seat's change and tell it; what it looks like now.

    `caused_by` names one of several commands that are handled together.
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
    """Write what a team is sold with, and what that makes of its capacity."""
    row.strategy = terms.strategy
    row.owner_seat = terms.owner_seat
    row.quantity = terms.quantity
    row.minimum = terms.minimum
    row.maximum = terms.maximum
    row.scheduled_quantity = terms.scheduled_quantity
    row.capacity = terms.capacity
    row.occupied = row.holders + terms.owners
    # Lowered elsewhere while seats were taken: they stay, but none is added before as many are free.
    row.excess = capacity_of(row).excess


def take_seats(row: TeamRow, count: int) -> None:
    """Count seats that were given away; the table refuses more than there are."""
    row.holders += count
    row.occupied += count


def free_seats(row: TeamRow, count: int) -> None:
    """Count seats that were freed."""
    row.holders -= count
    row.occupied -= count
    row.excess = capacity_of(row).excess


def invalidate_invitation(row: SeatRow) -> None:
    """Nobody is invited to a seat any more."""
    row.token_hash = None
    row.expires_at = None
