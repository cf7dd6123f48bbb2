"""Taking note of teams and seats, and giving holders what their seats give.

Events come in any order: a seat's before its team's, a team's before we have heard of its last change. So
what a holder has is always computed from all that is known at that moment. A lock on the team makes those who
learn of its parts at the same moment see one another; what changes for a whole team is brought to its holders
in parts, each a transaction, and begun again where a worker died in between.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import orjson
import sqlalchemy as sa

from services.subscriptions.domain.entitlements import seats_give
from services.subscriptions.entitlements.refresh import refresh_entitlements
from services.subscriptions.repository.subscriptions import find_subscription
from services.subscriptions.service import service
from services.subscriptions.snapshots import state_of_row
from services.subscriptions.tables.seat_holders import KnownSeatRow, KnownTeamRow
from services.subscriptions.tables.subscriptions import SubscriptionRow
from shared.messaging.external_command import ExternalCommandSteps
from shared.messaging.feed_consumer import Begin, keep_newest, keep_newest_of
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages.seats import SeatEvent, TeamEvent
from tallystick.messages.subscriptions import RefreshSeats, SeatsRefreshed

HOLDERS_BATCH = 500
"""Holders whose entitlements are written in one transaction: some thousand rows."""

LOCK_TEAMS = """
    SELECT pg_advisory_xact_lock(hashtextextended('team ' || team_id, 0)) FROM unnest(%s::text[]) AS team_id
"""


@service.event(SeatEvent, name="note_seats", together=True)
async def note_seats(work: UnitOfWork, events: Sequence[SeatEvent]) -> None:
    """Remember who holds these seats; who has gained or lost one gains or loses what it gives."""
    await _lock_teams(work, [event.seat.team_id for event in events])
    before = await _members(work, [event.seat.seat_id for event in events])
    news = await keep_newest_of(work, KnownSeatRow, [_known_seat(event) for event in events])
    causes = {event.seat.seat_id: event.caused_by for event in sorted(events, key=lambda told: told.version)}
    holders = {
        member: causes[row["seat_id"]]
        for row in news
        for member in (before.get(row["seat_id"]), row["member"] if row["claimed"] else None)
        if member is not None
    }
    if holders:
        await refresh_entitlements(work, holders, causes=holders)


@service.event(TeamEvent, name="note_team", in_parts=True)
async def note_team(begin: Begin, event: TeamEvent) -> None:
    """Remember whether a team has access and how many of its seats are taken; bring its holders in line."""
    team = event.billing_team
    async with begin() as work:
        await _lock_teams(work, [team.team_id])
        is_news = await keep_newest(
            work,
            KnownTeamRow,
            team_id=team.team_id,
            version=event.version,
            subscription_id=team.subscription_id,
            has_access=team.status == "open" and not team.suspended,
            seats_in_use=team.seats_in_use,
        )
        if is_news:
            await work.session.execute(
                sa.update(SubscriptionRow)
                .where(SubscriptionRow.subscription_id == team.subscription_id)
                .values(seats_occupied=team.seats_in_use)
            )
        terms = await _begin_run(work, team.team_id)
    await _bring_in_line(begin, team.team_id, terms)


@service.external_command(RefreshSeats)
async def refresh_seats(steps: ExternalCommandSteps, command: RefreshSeats) -> SeatsRefreshed:
    """Bring what holders of seats may use in line with a subscription that has changed.

    It is done in parts, and all over again after a crash.
    """
    begin = partial(steps.transactions.begin, caused_by=command.caused_by, now=steps.received_at)
    async with begin() as work:
        of_subscription = KnownTeamRow.subscription_id == command.subscription_id
        teams = (await work.session.scalars(sa.select(KnownTeamRow.team_id).where(of_subscription))).all()
    for team_id in teams:
        async with begin() as work:
            await _lock_teams(work, [team_id])
            terms = await _begin_run(work, team_id)
        await _bring_in_line(begin, team_id, terms)
    return SeatsRefreshed(subscription_id=command.subscription_id)


@dataclass(frozen=True, slots=True)
class _Terms:
    """What a team's seats give, as one text, and the number of the run that brings it to the holders."""

    fingerprint: str
    revision: int


async def _bring_in_line(begin: Begin, team_id: str, terms: _Terms | None) -> None:
    """Compute anew what every holder of a team's seats has, unless they have it already."""
    if terms is None:
        return
    after = ""
    while True:
        async with begin() as work:
            seats = (await work.session.execute(_next_seats(team_id, after))).all()
            if seats:
                await refresh_entitlements(work, {seat.member for seat in seats})
        if len(seats) < HOLDERS_BATCH:
            break
        after = seats[-1].seat_id
    async with begin() as work:
        await _end_run(work, team_id, terms)


async def _begin_run(work: UnitOfWork, team_id: str) -> _Terms | None:
    """None where the holders have what the team gives now. The team is locked."""
    team = await work.session.get_one(KnownTeamRow, team_id)
    fingerprint = await _fingerprint(work, team)
    if team.terms == fingerprint:
        return None
    # From here until a run has come to its end undisturbed, nobody can say what the holders have.
    team.terms = None
    team.terms_revision += 1
    return _Terms(fingerprint, team.terms_revision)


async def _end_run(work: UnitOfWork, team_id: str, terms: _Terms) -> None:
    await _lock_teams(work, [team_id])
    team = await work.session.get_one(KnownTeamRow, team_id)
    if team.terms_revision == terms.revision and await _fingerprint(work, team) == terms.fingerprint:
        team.terms = terms.fingerprint


async def _fingerprint(work: UnitOfWork, team: KnownTeamRow) -> str:
    """A text that differs whenever a seat of the team gives something else."""
    row = await find_subscription(work.session, team.subscription_id)
    if row is None or not team.has_access:
        return "nothing"
    grants = seats_give(state_of_row(row))
    told = [[grant.feature, grant.quantity, grant.expires_at, grant.source.product] for grant in grants]
    return hashlib.sha256(orjson.dumps(told)).hexdigest()


async def _lock_teams(work: UnitOfWork, team_ids: Sequence[str]) -> None:
    await work.driver.execute(LOCK_TEAMS, (sorted(set(team_ids)),))


async def _members(work: UnitOfWork, seat_ids: Sequence[str]) -> dict[str, str]:
    """Who is known to hold these seats."""
    known = sa.select(KnownSeatRow.seat_id, KnownSeatRow.member).where(
        KnownSeatRow.seat_id.in_(set(seat_ids)), KnownSeatRow.claimed
    )
    return {row.seat_id: row.member for row in await work.session.execute(known) if row.member is not None}


def _known_seat(event: SeatEvent) -> dict[str, object]:
    seat = event.seat
    return {
        "seat_id": seat.seat_id,
        "version": event.version,
        "team_id": seat.team_id,
        "member": seat.member.token if seat.member else None,
        "claimed": seat.status == "claimed",
        "multiplier": seat.multiplier,
    }


def _next_seats(team_id: str, after: str) -> sa.Select[str, str | None]:
    return (
        sa.select(KnownSeatRow.seat_id, KnownSeatRow.member)
        .where(KnownSeatRow.team_id == team_id, KnownSeatRow.claimed, KnownSeatRow.seat_id > after)
        .order_by(KnownSeatRow.seat_id)
        .limit(HOLDERS_BATCH)
    )
