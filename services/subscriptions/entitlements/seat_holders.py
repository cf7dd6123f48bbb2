"""Keeping copies of teams and seats, and refreshing the entitlements of seat holders.

Events arrive in any order: a seat's before its team's, or a team's before the one preceding it. A holder's
entitlements are therefore always computed from everything known at that moment. A lock on the team serializes
transactions that learn about its parts at the same time. A change for a whole team is applied to its holders
in batches, each a transaction; if a worker dies in between, it starts again.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import orjson
import sqlalchemy as sa

from services.subscriptions.domain.entitlements import seat_features
from services.subscriptions.entitlements.refresh import refresh_entitlements
from services.subscriptions.repository.subscriptions import find_subscription
from services.subscriptions.service import service
from services.subscriptions.snapshots import state_from_row
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
    """Store the seats and refresh the entitlements of users who gained or lost one."""
    await _lock_teams(work, [event.seat.team_id for event in events])
    before = await _members(work, [event.seat.seat_id for event in events])
    news = await keep_newest_of(work, KnownSeatRow, [_known_seat(event) for event in events])
    causes = {
        event.seat.seat_id: event.caused_by for event in sorted(events, key=lambda event: event.version)
    }
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
    """Store a team's access and occupied seats, and refresh its holders' entitlements."""
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
                .values(seats_occupied=team.seats_in_use, members_reported=team.members_reported)
            )
        run = await _begin_run(work, team.team_id)
    await _refresh_holders(begin, team.team_id, run)


@service.external_command(RefreshSeats)
async def refresh_seats(steps: ExternalCommandSteps, command: RefreshSeats) -> SeatsRefreshed:
    """Refresh the entitlements of seat holders after a change of their subscription.

    It runs in batches, and from the beginning after a crash.
    """
    begin = partial(steps.transactions.begin, caused_by=command.caused_by, now=steps.received_at)
    async with begin() as work:
        of_subscription = KnownTeamRow.subscription_id == command.subscription_id
        teams = (await work.session.scalars(sa.select(KnownTeamRow.team_id).where(of_subscription))).all()
    for team_id in teams:
        async with begin() as work:
            await _lock_teams(work, [team_id])
            run = await _begin_run(work, team_id)
        await _refresh_holders(begin, team_id, run)
    return SeatsRefreshed(subscription_id=command.subscription_id)


@dataclass(frozen=True, slots=True)
class _Run:
    """A refresh of a team's holders: the fingerprint of what its seats grant, and the number of the run."""

    fingerprint: str
    revision: int


async def _refresh_holders(begin: Begin, team_id: str, run: _Run | None) -> None:
    """Refresh every holder of a team's seats; `run` is None if they are up to date."""
    if run is None:
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
        await _end_run(work, team_id, run)


async def _begin_run(work: UnitOfWork, team_id: str) -> _Run | None:
    """Begin a run; None if the holders are up to date. The team is locked."""
    team = await work.session.get_one(KnownTeamRow, team_id)
    fingerprint = await _fingerprint(work, team)
    if team.terms == fingerprint:
        return None
    # Until a run has finished without another one beginning, the holders' state is unknown.
    team.terms = None
    team.terms_revision += 1
    return _Run(fingerprint, team.terms_revision)


async def _end_run(work: UnitOfWork, team_id: str, run: _Run) -> None:
    await _lock_teams(work, [team_id])
    team = await work.session.get_one(KnownTeamRow, team_id)
    if team.terms_revision == run.revision and await _fingerprint(work, team) == run.fingerprint:
        team.terms = run.fingerprint


async def _fingerprint(work: UnitOfWork, team: KnownTeamRow) -> str:
    """Return a text that differs whenever a seat of the team grants something else."""
    row = await find_subscription(work.session, team.subscription_id)
    if row is None or not team.has_access:
        return "nothing"
    grants = seat_features(state_from_row(row))
    fields = [[grant.feature, grant.quantity, grant.expires_at, grant.source.product] for grant in grants]
    return hashlib.sha256(orjson.dumps(fields)).hexdigest()


async def _lock_teams(work: UnitOfWork, team_ids: Sequence[str]) -> None:
    await work.driver.execute(LOCK_TEAMS, (sorted(set(team_ids)),))


async def _members(work: UnitOfWork, seat_ids: Sequence[str]) -> dict[str, str]:
    """Load the known holders of these seats."""
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
