"""The notifications worker is killed at each step of a mail, which arrives twice only after the server's 250.

A mail server that holds its answer, or a lock in Postgres, stops the worker at a step, so that the moment of
the kill is certain.
"""

import asyncio
from collections.abc import Iterator

import psycopg
import pytest

from tests.support.smtp_server import smtp_server
from tests.support.stack import Stack, stack
from tests.support.waiting import eventually

QUEUE = """
    INSERT INTO notifications.notifications (notification_id, version, kind, cause, recipient, customer,
        facts, is_forced, status, attempts, message_id, happened_at, created_at, next_attempt_at)
    VALUES (%s, 0, 'invoice_paid', %s, 'pay@example.com', 'organization_acme',
        '{"number": "TS-1", "amount": {"amount": 4900, "currency": "eur"}}', false, 'queued', 0,
        '<' || %s || '@example.com>', now(), now(), now())
"""
LEASE_IS_OVER = "UPDATE notifications.notifications SET next_attempt_at = now() WHERE status = 'queued'"
WAITING = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%notifications%'"
STATE = """
    SELECT status, version, (SELECT count(*) FROM notifications.outbox
        WHERE entity_id = notification_id AND subject LIKE '%%.sentV1')
    FROM notifications.notifications WHERE notification_id = %s
"""
pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    """Postgres and NATS; each test starts its worker."""
    with stack() as found:
        yield found


@pytest.mark.parametrize("command", ["RCPT", "DATA"])
async def test_a_kill_before_the_server_has_it_sends_it_once(running: Stack, command: str) -> None:
    async with smtp_server() as server, await _owner(running) as owner:
        server.holds_at = command  # type: ignore[assignment]
        with running.worker("notifications", {"SMTP_URL": server.url}):
            await _queue(owner, f"ntf_{command.lower()}")
            await asyncio.wait_for(server.reached.wait(), 20)
            await _dies(running, owner)
            server.holds_at = None
            server.released.set()
            taken = len(server.mails)
            server.mails.clear()  # what the held server took was never acknowledged to anybody
            await _comes_back(running, owner, f"ntf_{command.lower()}")
    assert taken <= 1
    assert [mail.message["Message-ID"] for mail in server.mails] == [f"<ntf_{command.lower()}@example.com>"]


async def test_a_kill_between_the_servers_250_and_the_commit_repeats_the_message_id(running: Stack) -> None:
    async with smtp_server() as server, await _owner(running) as owner:
        server.holds_at = "DATA"
        with running.worker("notifications", {"SMTP_URL": server.url}):
            await _queue(owner, "ntf_commit")
            await asyncio.wait_for(server.reached.wait(), 20)
            async with await psycopg.AsyncConnection.connect(running.owner_url) as locking:
                await locking.execute("LOCK TABLE notifications.notifications IN EXCLUSIVE MODE")
                server.holds_at = None
                server.released.set()
                waiting = await eventually(lambda: _waiting(owner))
                running.kill("notifications")
                for (pid,) in waiting:
                    await owner.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))
            assert await _state(owner, "ntf_commit") == ("queued", 0, 0), "the result was never committed"
            await owner.execute(LEASE_IS_OVER)
            await _comes_back(running, owner, "ntf_commit")
    assert [mail.message["Message-ID"] for mail in server.mails] == ["<ntf_commit@example.com>"] * 2


async def test_what_was_queued_while_no_worker_ran_is_sent_once(running: Stack) -> None:
    async with smtp_server() as server, await _owner(running) as owner:
        await _queue(owner, "ntf_before")
        with running.worker("notifications", {"SMTP_URL": server.url}):
            await eventually(lambda: _is_sent(owner, "ntf_before"))
    assert len(server.mails) == 1


async def _owner(running: Stack) -> psycopg.AsyncConnection[tuple[int, ...]]:
    return await psycopg.AsyncConnection.connect(running.owner_url, autocommit=True)


async def _queue(owner: psycopg.AsyncConnection[tuple[int, ...]], notification_id: str) -> None:
    await owner.execute(QUEUE, (notification_id,) * 3)


async def _dies(running: Stack, owner: psycopg.AsyncConnection[tuple[int, ...]]) -> None:
    await asyncio.to_thread(running.kill, "notifications")
    await owner.execute(LEASE_IS_OVER)


async def _comes_back(
    running: Stack, owner: psycopg.AsyncConnection[tuple[int, ...]], notification_id: str
) -> None:
    running.restart("notifications")
    await eventually(lambda: _is_sent(owner, notification_id), within_seconds=30)


async def _is_sent(owner: psycopg.AsyncConnection[tuple[int, ...]], notification_id: str) -> bool:
    return await _state(owner, notification_id) == ("sent", 1, 1)


async def _state(owner: psycopg.AsyncConnection[tuple[int, ...]], notification_id: str) -> tuple[object, ...]:
    row = await (await owner.execute(STATE, (notification_id,))).fetchone()
    assert row is not None
    return row


async def _waiting(owner: psycopg.AsyncConnection[tuple[int, ...]]) -> list[tuple[int, ...]]:
    return await (await owner.execute(WAITING)).fetchall()
