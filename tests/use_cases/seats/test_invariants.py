"""The invariants of the service on correct and on corrupted data."""

from collections.abc import AsyncIterator, Callable

import psycopg
import pytest
from nats.aio.client import Client
from psycopg.rows import dict_row

from services.seats import invariants
from services.seats.app import service
from services.seats.invitations.tokens import Invitations
from shared.messaging.service_client import ServiceClient
from shared.operations import audit_helpers
from shared.operations.audit import LiveSystem
from shared.settings import CommonSettings
from tallystick.messages import seats as m
from tallystick.subjects import Subjects
from tests.support.runtime import Bound
from tests.support.worlds.seats import SECRET, SeatWorld


@pytest.fixture
async def company(bind: Callable[..., Bound]) -> SeatWorld:
    """A team with a claimed, a pending and a revoked seat, and one that is closed."""
    settings = CommonSettings(nats_url="nats://127.0.0.1:1")
    company = SeatWorld(bind(service, Invitations.of(SECRET), ServiceClient(settings, "seats")))
    await company.subscribed(3)
    await company.has("claimed@example.com", "7")
    await company.invites("pending@example.com")
    gone = (await company.invites("gone@example.com"))["seat"]
    await company.does(m.RevokeSeat(command_id=company.command_id(), seat_id=gone["seat_id"]))
    await company.subscribed(2, subscription="sub_closed")
    await company.tells("canceled", subscription="sub_closed", status="canceled")
    # The copy that subscriptions would have.
    await company.bound.rows(
        """INSERT INTO subscriptions.known_seats (seat_id, version, team_id, member, claimed, multiplier)
            SELECT seat_id, version, team_id, member, true, 1 FROM seats.seats WHERE status = 'claimed'
            RETURNING 1"""
    )
    return company


@pytest.fixture
async def live(company: SeatWorld, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LiveSystem]:
    # What is wrong in these tests stays wrong: one second look is enough.
    monkeypatch.setattr(audit_helpers, "PENDING_MAX_SECONDS", audit_helpers.RETRY_SECONDS)
    database = await psycopg.AsyncConnection.connect(
        company.bound.owner_url, autocommit=True, row_factory=dict_row
    )
    yield LiveSystem(database, Client(), Subjects())
    await database.close()


async def broken(live: LiveSystem) -> set[str]:
    """Return the names of the violated invariants."""
    found = set()
    for invariant in invariants.INVARIANTS:
        if await invariant.violations(live):
            found.add(invariant.name)
    return found


async def test_all_is_well_with_what_the_service_does(live: LiveSystem) -> None:
    assert await broken(live) == set()


DAMAGE = {
    "UPDATE seats.teams SET excess = 9 WHERE status = 'open'": {"occupied seats are never above capacity"},
    "UPDATE seats.teams SET holders = 1, occupied = 2 WHERE status = 'open'": {"teams count their seats"},
    "UPDATE seats.seats SET member = 'user_8' WHERE status = 'claimed'": {"memberships equal claimed seats"},
    "UPDATE seats.teams SET members_reported = 3 WHERE status = 'open'": {
        "teams count the members on machines"
    },
    "DELETE FROM subscriptions.known_seats": {"memberships equal claimed seats"},
    "UPDATE seats.teams SET billing_manager = '' WHERE status = 'open'": {
        "every team has exactly one billing manager"
    },
    "UPDATE seats.seats SET version = version + 1": {"rows are at the version that was told last"},
    "DELETE FROM seats.seats WHERE status = 'revoked'": {"rows are at the version that was told last"},
    "UPDATE seats.teams SET capacity = 9, owner_seat = 'billed' WHERE status = 'open'": {
        "occupied seats are never above capacity"
    },
    "UPDATE seats.teams SET holders = 1 WHERE status = 'closed'": {"teams count their seats"},
    """DROP INDEX seats.uq_teams_subscription_id;
       UPDATE seats.teams SET subscription_id = 'sub_closed', closing = false""": {
        "every team has exactly one billing manager"
    },
    "UPDATE seats.inbox SET outcome = replace(outcome::text, 'withheld', 'AAAA')::json": {
        "no invitation's token is kept in clear"
    },
    """UPDATE seats.inbox SET body = '{"token": "x"}'""": {"no invitation's token is kept in clear"},
    """UPDATE seats.seats SET token_hash = sha256(repeat('t', 43)::bytea) WHERE status = 'pending';
       UPDATE seats.outbox SET payload = convert_to('{"x": "' || repeat('t', 43) || '"}', 'UTF8')""": {
        "no invitation's token is kept in clear"
    },
}


@pytest.mark.parametrize("damage", DAMAGE)
async def test_damage_is_found(live: LiveSystem, damage: str) -> None:
    for statement in damage.split(";"):
        await live.database.execute(statement.encode())
    assert await broken(live) == DAMAGE[damage]


async def test_the_table_itself_refuses_more_seats_than_there_are(company: SeatWorld) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        await company.bound.rows(
            "UPDATE seats.teams SET holders = 9, occupied = 10 WHERE status = 'open' RETURNING 1"
        )
