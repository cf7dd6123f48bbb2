"""The webhooks worker is killed between commit and answer, and during a burst of events.

Stripe sends again what was not answered with 200; in the end each event is stored and published once.
"""

import asyncio
import os
import random
import signal
from collections.abc import Iterator
from contextlib import suppress

import httpx
import nats
import psycopg
import pytest

from sandbox.ports import HOST, free_port
from services.webhooks.ingress.http_ingress import PATH
from tallystick.subjects import STRIPE_EVENTS_STREAM
from tests.support.stack import WEBHOOK_SECRET, Stack, stack
from tests.support.waiting import eventually
from tests.support.webhook_events import body, signature, stripe_event

SEED = 20260117
BURST_EVENTS = 800
SENDERS = 24
KILLS = 4
RESEND_SECONDS = 0.25
"""The pause between retries: immediate ones would take the processor from the starting worker."""


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[Stack, int]]:
    """Postgres, NATS and one webhooks worker; its port. Each test has a prefix for the ids of its events."""
    port = free_port()
    with stack() as running, running.worker("webhooks", {"STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET}, port=port):
        yield running, port


async def test_killed_between_the_commit_and_the_answer(world: tuple[Stack, int]) -> None:
    running, port = world
    worker = running.children["webhooks"].pid
    sent = ["evt_answer_0", "evt_answer_1"]
    async with await psycopg.AsyncConnection.connect(running.owner_url) as owner, _client(port) as http:
        await _post(http, "evt_answer_0")  # from now on the statement is prepared, and goes in one piece
        await owner.execute("LOCK TABLE webhooks.stripe_events IN EXCLUSIVE MODE")
        answer = asyncio.create_task(_post(http, "evt_answer_1"))
        await eventually(lambda: _waiting_for_the_lock(running))
        os.kill(worker, signal.SIGSTOP)  # it cannot answer any more, but Postgres has its statement
        await owner.commit()
        assert await eventually(lambda: _stored(running, "evt_answer", 2)) == sent
        assert not answer.done()
        running.kill("webhooks")
        with pytest.raises(httpx.TransportError):
            await answer
    await _restart_and_send_again(running, port, ["evt_answer_1"])
    assert await _stored(running, "evt_answer") == sent
    assert await eventually(lambda: _published(running, "evt_answer", 2)) == sent


async def test_killed_before_the_commit(world: tuple[Stack, int]) -> None:
    running, port = world
    async with await psycopg.AsyncConnection.connect(running.owner_url) as owner, _client(port) as http:
        await owner.execute("LOCK TABLE webhooks.outbox IN EXCLUSIVE MODE")
        answer = asyncio.create_task(_post(http, "evt_commit_1"))
        (backend,) = await eventually(lambda: _waiting_for_the_lock(running))
        running.kill("webhooks")
        with pytest.raises(httpx.TransportError):
            await answer
        await owner.execute("SELECT pg_terminate_backend(%s, 10000)", (backend,))
        await owner.commit()
    assert await _stored(running, "evt_commit") == []
    await _restart_and_send_again(running, port, ["evt_commit_1"])
    assert await _stored(running, "evt_commit") == ["evt_commit_1"]
    assert await eventually(lambda: _published(running, "evt_commit", 1)) == ["evt_commit_1"]


@pytest.mark.timeout(180)
async def test_killed_again_and_again_in_a_burst(world: tuple[Stack, int]) -> None:
    running, port = world
    chance = random.Random(SEED)
    ids = [f"evt_burst_{number}" for number in range(BURST_EVENTS)]
    waiting = list(reversed(ids))
    answered: list[str] = []

    async def sender() -> None:
        async with _client(port) as http:
            while waiting:
                event_id = waiting.pop()
                await eventually(
                    lambda event_id=event_id: _is_taken(http, event_id),  # type: ignore[misc]
                    within_seconds=60,
                    every_seconds=RESEND_SECONDS,
                )
                answered.append(event_id)

    async def killer() -> None:
        for number in range(KILLS):
            due = BURST_EVENTS * (number + 1) // (KILLS + 1)
            await eventually(lambda due=due: len(answered) >= due, within_seconds=60)  # type: ignore[misc]
            await asyncio.sleep(chance.uniform(0, 0.05))
            running.kill("webhooks")
            running.restart("webhooks")

    await asyncio.gather(killer(), *(sender() for _ in range(SENDERS)))
    assert await _stored(running, "evt_burst") == sorted(ids)
    published = await eventually(lambda: _published(running, "evt_burst", BURST_EVENTS), within_seconds=30)
    assert sorted(published) == sorted(ids)


def _client(port: int) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://{HOST}:{port}", timeout=30)


async def _post(http: httpx.AsyncClient, event_id: str) -> httpx.Response:
    payload = body(stripe_event(event_id))
    headers = {"Stripe-Signature": signature(payload, secret=WEBHOOK_SECRET)}
    return await http.post(PATH, content=payload, headers=headers)


async def _is_taken(http: httpx.AsyncClient, event_id: str) -> bool:
    with suppress(httpx.TransportError):
        return (await _post(http, event_id)).status_code == 200
    return False


async def _restart_and_send_again(running: Stack, port: int, ids: list[str]) -> None:
    running.restart("webhooks")
    await asyncio.to_thread(running.wait_until_ready, "webhooks")
    async with _client(port) as http:
        for event_id in ids:
            assert (await _post(http, event_id)).status_code == 200


async def _waiting_for_the_lock(running: Stack) -> list[int]:
    async with await psycopg.AsyncConnection.connect(running.owner_url, autocommit=True) as owner:
        cursor = await owner.execute(
            "SELECT pid FROM pg_stat_activity"
            " WHERE application_name = 'webhooks-ingest' AND wait_event_type = 'Lock'"
        )
        return [pid for (pid,) in await cursor.fetchall()]


async def _stored(running: Stack, beginning: str, at_least: int = 0) -> list[str]:
    """Return the stored events with a prefix once there are enough."""
    async with await psycopg.AsyncConnection.connect(running.owner_url) as owner:
        cursor = await owner.execute(
            "SELECT event_id FROM webhooks.stripe_events WHERE starts_with(event_id, %s)", (beginning,)
        )
        ids = sorted(event_id for (event_id,) in await cursor.fetchall())
        return ids if len(ids) >= at_least else []


async def _published(running: Stack, beginning: str, at_least: int) -> list[str]:
    """Return the published events with a prefix once there are enough; a duplicate would be one too many."""
    connection = await nats.connect(running.nats.url, inbox_prefix="_INBOX_admin")
    try:
        jetstream = connection.jetstream()
        state = (await jetstream.stream_info(STRIPE_EVENTS_STREAM)).state
        if state.messages < at_least:
            return []
        messages = [
            await jetstream.get_msg(STRIPE_EVENTS_STREAM, number, direct=True)
            for number in range(state.first_seq, state.last_seq + 1)
        ]
    finally:
        await connection.close()
    ids = [(message.headers or {})["Nats-Msg-Id"] for message in messages]
    found = [message_id for message_id in ids if message_id.startswith(beginning)]
    return found if len(found) >= at_least else []
