"""The webhooks worker dies at the worst moments: between commit and answer, and in the middle of a burst.

Stripe sends again whatever was not answered with 200; in the end each event is stored and published once.
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
from services.webhooks.ingress import PATH
from tallystick.subjects import STRIPE_EVENTS_STREAM
from tests.support.stack import WEBHOOK_SECRET, Stack, stack
from tests.support.waiting import eventually
from tests.support.webhook_events import body, signature, stripe_event

SEED = 20260117
BURST_EVENTS = 800
SENDERS = 24
KILLS = 4


@pytest.fixture
def world() -> Iterator[tuple[Stack, int]]:
    """Postgres, NATS and one webhooks worker; its port."""
    port = free_port()
    with stack() as running, running.worker("webhooks", {"STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET}, port=port):
        yield running, port


async def test_killed_between_the_commit_and_the_answer(world: tuple[Stack, int]) -> None:
    running, port = world
    worker = running.children["webhooks"].pid
    async with await psycopg.AsyncConnection.connect(running.owner_url) as owner, _client(port) as http:
        await _post(http, "evt_0")  # from now on the statement is prepared, and goes in one piece
        await owner.execute("LOCK TABLE webhooks.stripe_events IN EXCLUSIVE MODE")
        answer = asyncio.create_task(_post(http, "evt_1"))
        await eventually(lambda: _waiting_for_the_lock(running))
        os.kill(worker, signal.SIGSTOP)  # it cannot answer any more, but Postgres has its statement
        await owner.commit()
        assert await eventually(lambda: _stored(running, 2)) == ["evt_0", "evt_1"]
        assert not answer.done()
        running.kill("webhooks")
        with pytest.raises(httpx.TransportError):
            await answer
    await _restart_and_send_again(running, port, ["evt_1"])
    assert await _stored(running) == ["evt_0", "evt_1"]
    assert await eventually(lambda: _published(running, 2)) == ["evt_0", "evt_1"]


async def test_killed_before_the_commit(world: tuple[Stack, int]) -> None:
    running, port = world
    async with await psycopg.AsyncConnection.connect(running.owner_url) as owner, _client(port) as http:
        await owner.execute("LOCK TABLE webhooks.outbox IN EXCLUSIVE MODE")
        answer = asyncio.create_task(_post(http, "evt_1"))
        (backend,) = await eventually(lambda: _waiting_for_the_lock(running))
        running.kill("webhooks")
        with pytest.raises(httpx.TransportError):
            await answer
        await owner.execute("SELECT pg_terminate_backend(%s, 10000)", (backend,))
        await owner.commit()
    assert await _stored(running) == []
    await _restart_and_send_again(running, port, ["evt_1"])
    assert await _stored(running) == ["evt_1"]
    assert await eventually(lambda: _published(running, 1)) == ["evt_1"]


@pytest.mark.timeout(180)
async def test_killed_again_and_again_in_a_burst(world: tuple[Stack, int]) -> None:
    running, port = world
    chance = random.Random(SEED)
    ids = [f"evt_{number}" for number in range(BURST_EVENTS)]
    waiting = list(reversed(ids))
    answered: list[str] = []

    async def sender() -> None:
        async with _client(port) as http:
            while waiting:
                event_id = waiting.pop()
                await eventually(lambda event_id=event_id: _is_taken(http, event_id), within_seconds=60)  # type: ignore[misc]
                answered.append(event_id)

    async def killer() -> None:
        for number in range(KILLS):
            due = BURST_EVENTS * (number + 1) // (KILLS + 1)
            await eventually(lambda due=due: len(answered) >= due, within_seconds=60)  # type: ignore[misc]
            await asyncio.sleep(chance.uniform(0, 0.05))
            running.kill("webhooks")
            running.restart("webhooks")

    await asyncio.gather(killer(), *(sender() for _ in range(SENDERS)))
    assert await _stored(running) == sorted(ids)
    published = await eventually(lambda: _published(running, BURST_EVENTS), within_seconds=30)
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


async def _stored(running: Stack, at_least: int = 0) -> list[str]:
    async with await psycopg.AsyncConnection.connect(running.owner_url) as owner:
        cursor = await owner.execute("SELECT event_id FROM webhooks.stripe_events ORDER BY event_id")
        ids = sorted(event_id for (event_id,) in await cursor.fetchall())
        return ids if len(ids) >= at_least else []


async def _published(running: Stack, at_least: int) -> list[str]:
    """The message ids on the stream, once there are enough; a duplicate would be one too many."""
    connection = await nats.connect(running.nats.url, inbox_prefix="_INBOX_admin")
    try:
        jetstream = connection.jetstream()
        state = (await jetstream.stream_info(STRIPE_EVENTS_STREAM)).state
        if state.messages < at_least:
            return []
        numbers = range(state.first_seq, state.last_seq + 1)
        return [
            (await jetstream.get_msg(STRIPE_EVENTS_STREAM, number, direct=True)).headers["Nats-Msg-Id"]  # type: ignore[index]
            for number in numbers
        ]
    finally:
        await connection.close()
