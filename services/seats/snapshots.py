"""Conversion of rows to the snapshots of messages and to the types of the domain."""

from functools import lru_cache

from services.seats.domain.seats import Seat
from services.seats.domain.team_capacity import Capacity, SeatTerms
from services.seats.tables import SeatRow, TeamRow
from tallystick.messages import seats as m
from tallystick.messages.base import Customer

CUSTOMER_CACHE_SIZE = 4_096
"""Parsed customer tokens; all seats of a team have the same customer."""


@lru_cache(maxsize=CUSTOMER_CACHE_SIZE)
def customer_of(token: str) -> Customer:
    """Parse a stored customer token."""
    return Customer.from_token(token)


def terms_of_team(row: TeamRow) -> SeatTerms:
    """Return the seat terms of a team."""
    return SeatTerms(
        strategy=row.strategy,  # type: ignore[arg-type] # a constraint of the table
        owner_seat=row.owner_seat,  # type: ignore[arg-type]
        quantity=row.quantity,
        minimum=row.minimum,
        maximum=row.maximum,
        scheduled_quantity=row.scheduled_quantity,
    )


def capacity_of(row: TeamRow) -> Capacity:
    """Return the capacity of a team, with the change in progress."""
    requested = row.change["quantity"] if row.change else None
    return Capacity(terms_of_team(row), row.holders, requested, row.members_reported)


def team_snapshot(row: TeamRow) -> m.TeamSnapshot:
    """Build the snapshot of a team for results, events and answers."""
    capacity = capacity_of(row)
    return m.TeamSnapshot(
        team_id=row.team_id,
        version=row.version,
        subscription_id=row.subscription_id,
        customer=customer_of(row.customer),
        strategy=capacity.terms.strategy,
        owner_seat=capacity.terms.owner_seat,
        quantity=row.quantity,
        capacity=row.capacity,
        occupied=row.occupied,
        available=0 if row.closing else capacity.available,
        seats_in_use=0 if row.status == "closed" else capacity.seats_in_use,
        members_reported=0 if row.status == "closed" else row.members_reported,
        scheduled_quantity=row.scheduled_quantity,
        billing_manager=customer_of(row.billing_manager),
        suspended=row.suspended,
        status=row.status,  # type: ignore[arg-type] # a constraint of the table
        change=m.CountChange.model_validate(row.change, strict=False) if row.change else None,
        refused_change=(
            m.RefusedChange.model_validate(row.refused_change, strict=False) if row.refused_change else None
        ),
        opened_at=row.opened_at,
        closed_at=row.closed_at,
    )


def seat_snapshot(row: SeatRow | Seat) -> m.SeatSnapshot:
    """Build the snapshot of a seat for results, events and answers, without its token hash."""
    return m.SeatSnapshot(
        seat_id=row.seat_id,
        version=row.version,
        team_id=row.team_id,
        subscription_id=row.subscription_id,
        status=row.status,  # type: ignore[arg-type] # a constraint of the table
        email=row.email,
        member=customer_of(row.member) if row.member else None,
        multiplier=row.multiplier,
        prorated=row.prorated,
        role=row.role,
        metadata=row.meta,
        invited_at=row.invited_at,
        expires_at=row.expires_at,
        claimed_at=row.claimed_at,
        revoked_at=row.revoked_at,
    )
