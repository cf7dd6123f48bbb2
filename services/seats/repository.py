"""The SQL of this service: locking teams and seats, who has one, pages of them."""

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

HELD = SeatRow.status != "revoked"


async def lock_teams(work: UnitOfWork, team_ids: set[str]) -> dict[str, TeamRow]:
    """Those of the teams that exist, locked in the order of their ids until the transaction ends."""
    query = (
        sa.select(TeamRow)
        .where(TeamRow.team_id.in_(team_ids))
        .order_by(TeamRow.team_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return {row.team_id: row for row in await work.session.scalars(query)}


async def lock_team(work: UnitOfWork, team_id: str) -> TeamRow:
    """A team, locked until the transaction ends; raises Rejected `not_found`."""
    row = (await lock_teams(work, {team_id})).get(team_id)
    if row is None:
        raise no_team(team_id)
    return row


async def lock_seat(work: UnitOfWork, seat_id: str) -> tuple[TeamRow, SeatRow]:
    """A seat and its team, both locked, the team first; raises Rejected `not_found`."""
    team_id = await work.session.scalar(sa.select(SeatRow.team_id).where(SeatRow.seat_id == seat_id))
    if team_id is None:
        raise Rejected("not_found", f"There is no seat {seat_id}.", {"seat_id": seat_id})
    return await _seat_of(work, team_id, seat_id)


async def lock_invited(work: UnitOfWork, invited: SeatRow) -> tuple[TeamRow, SeatRow] | None:
    """A pending seat that was found by its token and its team, both locked; None where the token is dead."""
    token_hash = invited.token_hash
    team, seat = await _seat_of(work, invited.team_id, invited.seat_id)
    # Whoever held the lock may have used, replaced or revoked it.
    return (team, seat) if seat.token_hash == token_hash and not team.closing else None


async def find_invited(session: AsyncSession, token_hash: bytes) -> SeatRow | None:
    """The pending seat that a token invites to, as it was a moment ago."""
    return await session.scalar(sa.select(SeatRow).where(SeatRow.token_hash == token_hash))


async def _seat_of(work: UnitOfWork, team_id: str, seat_id: str) -> tuple[TeamRow, SeatRow]:
    team = await lock_team(work, team_id)
    query = sa.select(SeatRow).where(SeatRow.seat_id == seat_id).with_for_update()
    seat = (await work.session.scalars(query.execution_options(populate_existing=True))).one()
    return team, seat


# The team is no part of what is looked up in an index: Postgres takes a team for small until it has counted,
# and would look through all of a large one for each address.
TAKEN = Statement("""
    SELECT email, member FROM seats.seats WHERE team_id || '' = $1 AND status <> 'revoked'
        AND email = ANY (ARRAY(SELECT jsonb_array_elements_text($2::jsonb)))
    UNION ALL
    SELECT email, member FROM seats.seats WHERE team_id || '' = $1 AND status <> 'revoked'
        AND member = ANY (ARRAY(SELECT jsonb_array_elements_text($3::jsonb)))
""")


async def taken_seats(
    work: UnitOfWork, team: TeamRow, emails: Sequence[str], members: Sequence[Customer]
) -> OccupiedSeats:
    """Who of these has a seat of a team, which is locked, already; the owner's counts where there is one."""
    tokens = [member.token for member in members]
    owner = {team.customer} if team.owner_seat != "none" else set()
    (found,) = await work.run(
        TAKEN(team.team_id, orjson.dumps(emails).decode(), orjson.dumps(tokens).decode())
    )
    return OccupiedSeats(
        {row[0] for row in found.rows if row[0]}, owner | {row[1] for row in found.rows if row[1]}
    )


ADD_SEATS = Statement("""
    INSERT INTO seats.seats (seat_id, version, team_id, subscription_id, customer, status, email, member,
        multiplier, role, metadata, token_hash, invited_at, expires_at, claimed_at)
    SELECT seat_id, version, team_id, subscription_id, customer, status, email, member,
        multiplier, role, metadata, decode(token_hash, 'hex'), invited_at, expires_at, claimed_at
    FROM jsonb_to_recordset($1::jsonb) AS new (seat_id text, version bigint, team_id text,
        subscription_id text, customer text, status text, email text, member text, multiplier bigint,
        role text, metadata jsonb, token_hash text, invited_at timestamptz, expires_at timestamptz,
        claimed_at timestamptz)
""")


def add_seats(work: UnitOfWork, seats: Sequence[Seat]) -> None:
    """Insert seats at the end, in one statement: one JSON value costs a tenth of as many parameters."""
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
    work.deferred.append(ADD_SEATS(orjson.dumps(rows).decode()))


async def find_team(
    session: AsyncSession, *, team_id: str | None, subscription_id: str | None, customer: Customer | None
) -> TeamRow | None:
    """A team; of a subscription or customer the newest that is open, else the newest."""
    query = sa.select(TeamRow)
    if team_id is not None:
        query = query.where(TeamRow.team_id == team_id)
    if subscription_id is not None:
        query = query.where(TeamRow.subscription_id == subscription_id)
    if customer is not None:
        query = query.where(TeamRow.customer == customer.token)
    is_closed = TeamRow.status == "closed"
    return (await session.scalars(query.order_by(is_closed, TeamRow.team_id.desc()).limit(1))).first()


async def open_team_of(work: UnitOfWork, subscription_id: str) -> TeamRow | None:
    """A subscription's team that is not closed, locked; it may be closing."""
    query = (
        sa.select(TeamRow)
        .where(TeamRow.subscription_id == subscription_id, TeamRow.status == "open")
        .order_by(TeamRow.team_id)
        .limit(1)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return (await work.session.scalars(query)).first()


async def load_seats(
    session: AsyncSession, team_id: str, *, status: str | None, before: str | None, limit: int
) -> Sequence[SeatRow]:
    """A team's seats, newest first, from before a seat's id."""
    query = sa.select(SeatRow).where(SeatRow.team_id == team_id)
    if status is not None:
        query = query.where(SeatRow.status == status)
    if before is not None:
        query = query.where(SeatRow.seat_id < before)
    return (await session.scalars(query.order_by(SeatRow.seat_id.desc()).limit(limit))).all()


async def load_memberships(
    session: AsyncSession, member: Customer, *, before: str | None, limit: int
) -> list[tuple[SeatRow, TeamRow]]:
    """The seats a user has claimed with their teams, newest first, from before a seat's id."""
    query = (
        sa.select(SeatRow, TeamRow)
        .join(TeamRow, TeamRow.team_id == SeatRow.team_id)
        .where(SeatRow.member == member.token, SeatRow.status == "claimed")
    )
    if before is not None:
        query = query.where(SeatRow.seat_id < before)
    rows = await session.execute(query.order_by(SeatRow.seat_id.desc()).limit(limit))
    return [(row[0], row[1]) for row in rows]


async def known_subscription(session: AsyncSession, subscription_id: str) -> KnownSubscription | None:
    """What is known of a subscription."""
    return await session.get(KnownSubscription, subscription_id)


async def known_invoices(session: AsyncSession, subscription_id: str) -> list[dict[str, Any]]:
    """What is known of a subscription's invoices, oldest first."""
    query = sa.select(KnownInvoice.snapshot).where(KnownInvoice.subscription_id == subscription_id)
    return list(await session.scalars(query.order_by(KnownInvoice.invoice_id)))


def no_team(team_id: str) -> Rejected:
    """The rejection of an id that no team has."""
    return Rejected("not_found", f"There is no team {team_id}.", {"team_id": team_id})


async def held_seats(
    session: AsyncSession, team_id: str, *, after: str | None, limit: int
) -> Sequence[SeatRow]:
    """A team's pending and claimed seats, oldest first, from after a seat's id."""
    query = sa.select(SeatRow).where(SeatRow.team_id == team_id, HELD)
    if after is not None:
        query = query.where(SeatRow.seat_id > after)
    return (await session.scalars(query.order_by(SeatRow.seat_id).limit(limit))).all()


async def count_held_from(session: AsyncSession, team_id: str, *, until: str | None) -> int:
    """How many pending and claimed seats a team has up to and including a seat's id; none without one."""
    if until is None:
        return 0
    query = sa.select(sa.func.count()).where(SeatRow.team_id == team_id, HELD, SeatRow.seat_id <= until)
    return await session.scalar(query) or 0
