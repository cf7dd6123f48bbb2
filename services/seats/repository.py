"""Queries and statements of this service: locks on teams and seats, occupied seats, pages of seats."""

from collections.abc import Sequence
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.seats.domain.assignment import OccupiedSeats
from services.seats.domain.seats import Seat
from services.seats.tables import KnownInvoice, KnownSubscription, SeatRow, TeamRow
from shared.errors import Rejected
from shared.persistence.sql_pipeline import Statement
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages.base import Customer

IS_HELD = SeatRow.status != "revoked"


async def lock_teams(work: UnitOfWork, team_ids: set[str]) -> dict[str, TeamRow]:
    """Lock the existing teams among these ids, in the order of their ids, until the transaction ends."""
    query = (
        sa.select(TeamRow)
        .where(TeamRow.team_id.in_(team_ids))
        .order_by(TeamRow.team_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return {row.team_id: row for row in await work.session.scalars(query)}


async def lock_team(work: UnitOfWork, team_id: str) -> TeamRow:
    """Lock a team until the transaction ends; raise Rejected `not_found` if it does not exist."""
    row = (await lock_teams(work, {team_id})).get(team_id)
    if row is None:
        raise team_not_found(team_id)
    return row


async def lock_seat(work: UnitOfWork, seat_id: str) -> tuple[TeamRow, SeatRow]:
    """Lock a seat's team, then the seat; raise Rejected `not_found` if it does not exist."""
    team_id = await work.session.scalar(sa.select(SeatRow.team_id).where(SeatRow.seat_id == seat_id))
    if team_id is None:
        raise Rejected("not_found", f"There is no seat {seat_id}.", {"seat_id": seat_id})
    return await _lock_team_and_seat(work, team_id, seat_id)


async def lock_invited_seat(work: UnitOfWork, invited: SeatRow) -> tuple[TeamRow, SeatRow] | None:
    """Lock the team and the seat of an invitation; return None if its token is no longer valid."""
    token_hash = invited.token_hash
    team, seat = await _lock_team_and_seat(work, invited.team_id, invited.seat_id)
    # The transaction that held the lock before may have used, replaced or revoked the token.
    return (team, seat) if seat.token_hash == token_hash and not team.closing else None


async def find_invited_seat(session: AsyncSession, token_hash: bytes) -> SeatRow | None:
    """Find the pending seat of an invitation, without a lock."""
    return await session.scalar(sa.select(SeatRow).where(SeatRow.token_hash == token_hash))


async def _lock_team_and_seat(work: UnitOfWork, team_id: str, seat_id: str) -> tuple[TeamRow, SeatRow]:
    team = await lock_team(work, team_id)
    query = sa.select(SeatRow).where(SeatRow.seat_id == seat_id).with_for_update()
    seat = (await work.session.scalars(query.execution_options(populate_existing=True))).one()
    return team, seat


# `team_id || ''` keeps the team out of the index lookup: without statistics Postgres estimates few rows for
# each team, and would scan all seats of a large one for each address.
OCCUPIED_SEATS = Statement("""
    SELECT email, member FROM seats.seats WHERE team_id || '' = $1 AND status <> 'revoked'
        AND email = ANY (ARRAY(SELECT jsonb_array_elements_text($2::jsonb)))
    UNION ALL
    SELECT email, member FROM seats.seats WHERE team_id || '' = $1 AND status <> 'revoked'
        AND member = ANY (ARRAY(SELECT jsonb_array_elements_text($3::jsonb)))
""")


async def load_occupied_seats(
    work: UnitOfWork, team: TeamRow, emails: Sequence[str], members: Sequence[Customer]
) -> OccupiedSeats:
    """Load which of these addresses and members have a seat of a locked team, including its owner."""
    tokens = [member.token for member in members]
    owner = {team.customer} if team.owner_seat != "none" else set()
    (found,) = await work.run(
        OCCUPIED_SEATS(team.team_id, orjson.dumps(emails).decode(), orjson.dumps(tokens).decode())
    )
    return OccupiedSeats(
        {row[0] for row in found.rows if row[0]}, owner | {row[1] for row in found.rows if row[1]}
    )


INSERT_SEATS = Statement("""
    INSERT INTO seats.seats (seat_id, version, team_id, subscription_id, customer, status, email, member,
        multiplier, role, metadata, token_hash, invited_at, expires_at, claimed_at)
    SELECT seat_id, version, team_id, subscription_id, customer, status, email, member,
        multiplier, role, metadata, decode(token_hash, 'hex'), invited_at, expires_at, claimed_at
    FROM jsonb_to_recordset($1::jsonb) AS new (seat_id text, version bigint, team_id text,
        subscription_id text, customer text, status text, email text, member text, multiplier bigint,
        role text, metadata jsonb, token_hash text, invited_at timestamptz, expires_at timestamptz,
        claimed_at timestamptz)
""")


def insert_seats(work: UnitOfWork, seats: Sequence[Seat]) -> None:
    """Insert seats at the end of the transaction; one JSON value is ten times cheaper than parameters."""
    rows = [
        {
            "seat_id": seat.seat_id,
            "version": seat.version,
            "team_id": seat.team_id,
            "subscription_id": seat.subscription_id,
            "customer": seat.customer,
            "status": seat.status,
            "email": seat.email,
            "member": seat.member,
            "multiplier": seat.multiplier,
            "role": seat.role,
            "metadata": seat.meta,
            "token_hash": seat.token_hash.hex() if seat.token_hash else None,
            "invited_at": seat.invited_at,
            "expires_at": seat.expires_at,
            "claimed_at": seat.claimed_at,
        }
        for seat in seats
    ]
    work.deferred.append(INSERT_SEATS(orjson.dumps(rows).decode()))


async def find_team(
    session: AsyncSession, *, team_id: str | None, subscription_id: str | None, customer: Customer | None
) -> TeamRow | None:
    """Find a team; for a subscription or customer the newest open one, else the newest."""
    query = sa.select(TeamRow)
    if team_id is not None:
        query = query.where(TeamRow.team_id == team_id)
    if subscription_id is not None:
        query = query.where(TeamRow.subscription_id == subscription_id)
    if customer is not None:
        query = query.where(TeamRow.customer == customer.token)
    is_closed = TeamRow.status == "closed"
    return (await session.scalars(query.order_by(is_closed, TeamRow.team_id.desc()).limit(1))).first()


async def load_teams(
    session: AsyncSession, customer: Customer | None, *, before: str | None, limit: int
) -> Sequence[TeamRow]:
    """Load teams of a customer or of all, newest first, with ids below `before`."""
    query = sa.select(TeamRow)
    if customer is not None:
        query = query.where(TeamRow.customer == customer.token)
    if before is not None:
        query = query.where(TeamRow.team_id < before)
    return (await session.scalars(query.order_by(TeamRow.team_id.desc()).limit(limit))).all()


async def load_seats(
    session: AsyncSession, team_id: str, *, status: str | None, before: str | None, limit: int
) -> Sequence[SeatRow]:
    """Load seats of a team, newest first, with ids below `before`."""
    query = sa.select(SeatRow).where(SeatRow.team_id == team_id)
    if status is not None:
        query = query.where(SeatRow.status == status)
    if before is not None:
        query = query.where(SeatRow.seat_id < before)
    return (await session.scalars(query.order_by(SeatRow.seat_id.desc()).limit(limit))).all()


async def load_memberships(
    session: AsyncSession, member: Customer, *, before: str | None, limit: int
) -> list[tuple[SeatRow, TeamRow]]:
    """Load the seats that a user has claimed and their teams, newest first, with ids below `before`."""
    query = (
        sa.select(SeatRow, TeamRow)
        .join(TeamRow, TeamRow.team_id == SeatRow.team_id)
        .where(SeatRow.member == member.token, SeatRow.status == "claimed")
    )
    if before is not None:
        query = query.where(SeatRow.seat_id < before)
    rows = await session.execute(query.order_by(SeatRow.seat_id.desc()).limit(limit))
    return [(row[0], row[1]) for row in rows]


async def find_known_subscription(session: AsyncSession, subscription_id: str) -> KnownSubscription | None:
    """Find the last known state of a subscription."""
    return await session.get(KnownSubscription, subscription_id)


async def load_known_invoices(session: AsyncSession, subscription_id: str) -> list[dict[str, Any]]:
    """Load the last known snapshots of a subscription's invoices, oldest first."""
    query = sa.select(KnownInvoice.snapshot).where(KnownInvoice.subscription_id == subscription_id)
    return list(await session.scalars(query.order_by(KnownInvoice.invoice_id)))


def team_not_found(team_id: str) -> Rejected:
    """Build the rejection of an unknown team id."""
    return Rejected("not_found", f"There is no team {team_id}.", {"team_id": team_id})


async def load_held_seats(
    session: AsyncSession, team_id: str, *, after: str | None, limit: int
) -> Sequence[SeatRow]:
    """Load pending and claimed seats of a team, oldest first, with ids above `after`."""
    query = sa.select(SeatRow).where(SeatRow.team_id == team_id, IS_HELD)
    if after is not None:
        query = query.where(SeatRow.seat_id > after)
    return (await session.scalars(query.order_by(SeatRow.seat_id).limit(limit))).all()


async def count_held_until(session: AsyncSession, team_id: str, *, until: str | None) -> int:
    """Count the pending and claimed seats of a team with ids up to `until`; 0 if it is None."""
    if until is None:
        return 0
    query = sa.select(sa.func.count()).where(SeatRow.team_id == team_id, IS_HELD, SeatRow.seat_id <= until)
    return await session.scalar(query) or 0
