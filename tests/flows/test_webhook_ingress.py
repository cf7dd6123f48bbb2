"""Stripe events over HTTP and NATS into a running worker: stored once, published once, or rejected."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import nats
import psycopg
import pytest
from nats.aio.client import Client
from nats.js.errors import APIError
from pydantic import SecretStr

from services.webhooks import app
from services.webhooks.event_store.event_writer import EventWriter
from services.webhooks.ingress.http_ingress import PATH
from services.webhooks.reconciliation.stripe_event_list import StripeEventList
from services.webhooks.service import service
from services.webhooks.settings import WebhooksSettings
from shared.operations.provision import provision_nats
from tallystick.message_size import message_size
from tallystick.subjects import DEAD_LETTERS_STREAM, STRIPE_EVENTS_STREAM, WEBHOOKS_STREAM
from tests.support.runtime import role_url
from tests.support.servers import NatsServer
from tests.support.stripe import SECRET_KEY, StripeStandIn
from tests.support.waiting import eventually
from tests.support.webhook_events import WEBHOOK_SECRET, body, signature, stripe_event
from tests.support.workers import running

SUBJECT = "tunnel.incoming-webhook-events.stripe"
MAX_BYTES = 512 * 1024
STREAM_MAX_BYTES = 560_000
"""As `deploy/streams.yaml` says, headers included."""
TOO_LARGE = 10054
"""JetStream's error where a message is larger than its stream takes."""


@dataclass(slots=True)
class Ingress:
    """A running worker with its HTTP server, streams and tables."""

    http: httpx.AsyncClient
    client: Client
    """May look at everything."""
    caller: Client
    """The user of other services."""
    owner_url: str
    url: str

    async def post(self, payload: bytes, header: str | None = None) -> httpx.Response:
        """Send a payload as Stripe would; signed now unless a header is given."""
        headers = {"Stripe-Signature": signature(payload) if header is None else header}
        return await self.http.post(PATH, content=payload, headers=headers)

    async def stored(self) -> dict[str, str]:
        """Every stored event and its status."""
        connection = await psycopg.AsyncConnection.connect(self.owner_url)
        async with connection:
            cursor = await connection.execute("SELECT event_id, status FROM webhooks.stripe_events")
            return dict(await cursor.fetchall())

    async def published(self) -> list[str]:
        """The message ids on the stream of Stripe's events, in their order."""
        return [message.headers["Nats-Msg-Id"] for message in await self.messages(STRIPE_EVENTS_STREAM)]

    async def messages(self, stream: str) -> list[Any]:
        """Everything in a stream."""
        jetstream = self.client.jetstream()
        state = (await jetstream.stream_info(stream)).state
        numbers = range(state.first_seq, state.last_seq + 1) if state.messages else range(0)
        return [await jetstream.get_msg(stream, number) for number in numbers]

    async def ask(self, name: str, **fields: Any) -> dict[str, Any]:
        """The outcome of a command or question."""
        reply = await self.caller.request(
            f"billing.requests.webhooks.{name}", json.dumps(fields).encode(), timeout=20
        )
        outcome: dict[str, Any] = json.loads(reply.data)
        return outcome


@pytest.fixture
async def start(
    service_database: str, nats_server: NatsServer, stand_in: StripeStandIn
) -> AsyncIterator[Callable[..., Any]]:
    await provision_nats(nats_server.url, prefix="billing", webhook_subject=SUBJECT, monitor_url=None)
    client = await nats.connect(nats_server.url, inbox_prefix="_INBOX_admin")
    caller = await nats.connect(nats_server.users["client"])
    started: list[Any] = []

    async def start_worker(**changes: Any) -> Ingress:
        settings = WebhooksSettings(
            database_url=SecretStr(role_url(service_database, "webhooks")),
            nats_url=SecretStr(nats_server.users["webhooks"]),
            **{
                "stripe_webhook_secret": SecretStr(WEBHOOK_SECRET),
                "stripe_secret_key": SecretStr(SECRET_KEY),
                "stripe_api_base": stand_in.url,
                **changes,
            },
        )
        worker = running(service, settings, provide=app.provide, routes=app.routes)
        at_work, http = await worker.__aenter__()
        started.append((worker, at_work.runtime.provided))
        return Ingress(http, client, caller, service_database, str(http.base_url))

    yield start_worker
    for worker, provided in started:
        await worker.__aexit__(None, None, None)
        await provided[EventWriter].close()
        await provided[StripeEventList].close()
    await client.close()
    await caller.close()


@pytest.fixture
async def ingress(start: Callable[..., Any]) -> Ingress:
    started: Ingress = await start()
    return started


async def test_a_signed_event_is_stored_and_published_as_it_came(ingress: Ingress) -> None:
    payload = body(stripe_event("evt_1", "customer.updated"))
    answer = await ingress.post(payload)
    assert (answer.status_code, answer.json()) == (200, {"received": True})
    assert await ingress.stored() == {"evt_1": "received"}
    (message,) = await eventually(lambda: ingress.messages(STRIPE_EVENTS_STREAM))
    assert message.subject == "billing.stripe_events.customer.updated"
    assert message.data == payload
    assert message.headers["Nats-Msg-Id"] == "evt_1"


async def test_a_bad_signature_stores_nothing(ingress: Ingress) -> None:
    payload = body(stripe_event("evt_1"))
    changed = payload.replace(b'"active"', b'"activf"')
    refusals = [
        await ingress.post(changed, signature(payload)),
        await ingress.post(payload, signature(payload, age_seconds=360)),
        await ingress.post(payload, signature(payload, age_seconds=-360)),
        await ingress.http.post(PATH, content=payload),
        await ingress.post(payload, signature(payload, secret="whsec_other")),
        await ingress.post(b'{"hello": "world"}'),
        await ingress.post(b"not json"),
    ]
    assert [answer.status_code for answer in refusals] == [400] * 7
    codes = [answer.json()["error"]["code"] for answer in refusals]
    assert codes == ["invalid_signature"] * 5 + ["invalid_event"] * 2
    assert await ingress.stored() == {}


async def test_a_repeated_event_is_stored_and_published_once(ingress: Ingress) -> None:
    payload = body(stripe_event("evt_1"))
    answers = [await ingress.post(payload) for _ in range(5)]
    answers += await asyncio.gather(*(ingress.post(payload) for _ in range(5)))
    assert [answer.status_code for answer in answers] == [200] * 10
    await ingress.post(body(stripe_event("evt_2")))
    assert sorted(await ingress.stored()) == ["evt_1", "evt_2"]
    assert await eventually(lambda: _when(ingress.published(), 2)) == ["evt_1", "evt_2"]


async def test_poison_is_refused_and_its_neighbours_are_stored(ingress: Ingress) -> None:
    poison = [
        stripe_event("evt_nul", data={"object": {"text": "\x00"}}),
        stripe_event("evt_*"),
        stripe_event("evt_type", "customer.>"),
        stripe_event("evt_number", created=10**40),
    ]
    good = [stripe_event(f"evt_good{number}") for number in range(20)]
    mixed = good[:10] + poison + good[10:]
    answers = await asyncio.gather(*(ingress.post(body(event)) for event in mixed))
    assert [answer.status_code for answer in answers] == [200] * 10 + [400] * 4 + [200] * 10
    assert sorted(await ingress.stored()) == sorted(f"evt_good{number}" for number in range(20))


async def test_bodies_over_the_limit_are_not_read_to_their_end(ingress: Ingress) -> None:
    at_limit = body(stripe_event("evt_1", note=""))
    at_limit = body(stripe_event("evt_1", note="x" * (MAX_BYTES - len(at_limit))))
    assert len(at_limit) == MAX_BYTES
    assert (await ingress.post(at_limit)).status_code == 200
    over = at_limit + b" "
    assert (await ingress.post(over)).status_code == 413
    assert (await ingress.post(b"x" * (6 * MAX_BYTES))).status_code == 413
    for head in ("Transfer-Encoding: chunked", f"Content-Length: {1000 * MAX_BYTES}"):
        status, sent = await _post_endlessly(ingress.url, head)
        assert status == b"413"
        assert sent < 40 * MAX_BYTES
    assert await ingress.stored() == {"evt_1": "received"}


async def test_only_posts_are_taken(ingress: Ingress) -> None:
    assert (await ingress.http.get(PATH)).status_code == 405


async def test_without_a_secret_the_ingress_says_so(start: Callable[..., Any]) -> None:
    ingress: Ingress = await start(stripe_webhook_secret=None)
    answer = await ingress.post(body(stripe_event()))
    assert answer.status_code == 503
    assert "STRIPE_WEBHOOK_SECRET" in answer.json()["error"]["message"]


async def test_a_webhook_that_cannot_be_stored_gets_503(ingress: Ingress) -> None:
    payload = body(stripe_event("evt_1"))
    async with await psycopg.AsyncConnection.connect(ingress.owner_url, autocommit=True) as owner:
        await owner.execute("ALTER TABLE webhooks.stripe_events RENAME TO gone")
        assert (await ingress.post(payload)).status_code == 503
        await owner.execute("ALTER TABLE webhooks.gone RENAME TO stripe_events")
        assert (await ingress.post(payload)).status_code == 200
        # A connection that was cut while nothing was going on is not the sender's trouble.
        await owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'webhooks-ingest'"
        )
        assert (await ingress.post(body(stripe_event("evt_2")))).status_code == 200
    assert sorted(await ingress.stored()) == ["evt_1", "evt_2"]


async def test_nats_events_are_verified_at_their_time_of_arrival(ingress: Ingress) -> None:
    jetstream = ingress.client.jetstream()
    good, old, early = (body(stripe_event(f"evt_{name}")) for name in ("good", "old", "early"))
    sent = [
        (good, signature(good)),
        (old, signature(old, age_seconds=360)),
        (early, signature(early, age_seconds=-360)),
        (b"{", ""),
    ]
    for payload, header in sent:
        await jetstream.publish(SUBJECT, payload, headers={"Stripe-Signature": header} if header else None)
    letters = await eventually(lambda: _when(ingress.messages(DEAD_LETTERS_STREAM), 3))
    assert {letter.subject for letter in letters} == {"billing.dead_letters.webhooks.nats_ingress"}
    errors = sorted(letter.headers["Billing-Error"] for letter in letters)
    assert errors == [
        "Undeliverable: the header Stripe-Signature is missing",
        "Undeliverable: the signature is dated more than 300 seconds ahead",
        "Undeliverable: the signature is older than 300 seconds",
    ]
    assert await eventually(ingress.stored) == {"evt_good": "received"}
    assert await eventually(ingress.published) == ["evt_good"]
    await eventually(lambda: _when(ingress.messages(WEBHOOKS_STREAM), 0, at_all=True))


async def test_nats_events_of_every_size_are_stored_or_rejected(ingress: Ingress) -> None:
    """What the stream accepts is stored if it is an event, else a dead letter; the next one is stored."""
    factors = (0.9, 0.99, 1.0, 1.01, 1.05, 1.06, 1.07, 1.1)
    stored, buried = set(), 0
    for number, size in enumerate(
        {int(MAX_BYTES * factor) + beside for factor in factors for beside in (0, 1)}
    ):
        empty = body(stripe_event(f"evt_{number}", note=""))
        payload = body(stripe_event(f"evt_{number}", note="x" * (size - len(empty))))
        headers = {"Stripe-Signature": signature(payload)}
        publishing = ingress.client.jetstream().publish(SUBJECT, payload, headers=headers)
        if message_size(payload, headers) > STREAM_MAX_BYTES:
            with pytest.raises(APIError) as refused:
                await publishing
            assert refused.value.err_code == TOO_LARGE
            continue
        await publishing
        if size <= MAX_BYTES:
            stored.add(f"evt_{number}")
        else:
            buried += 1
    assert stored and buried
    small = body(stripe_event("evt_small"))
    await ingress.client.jetstream().publish(SUBJECT, small, headers={"Stripe-Signature": signature(small)})

    async def all_settled() -> bool:
        letters = (await ingress.client.jetstream().stream_info(DEAD_LETTERS_STREAM)).state.messages
        return set(await ingress.stored()) == {*stored, "evt_small"} and letters == buried

    await eventually(all_settled)


async def test_a_trusted_ingress_may_omit_the_signature(start: Callable[..., Any]) -> None:
    ingress: Ingress = await start(webhook_ingress_verified=True, stripe_webhook_secret=None)
    await ingress.client.jetstream().publish(SUBJECT, body(stripe_event("evt_1")))
    assert await eventually(ingress.stored) == {"evt_1": "received"}


async def test_a_replay_reaches_the_stream_in_spite_of_its_memory(ingress: Ingress) -> None:
    await ingress.post(body(stripe_event("evt_1")))
    await eventually(ingress.published)
    for command_id in ("first", "first", "second"):
        outcome = await ingress.ask("replay", command_id=command_id, event_ids=["evt_1"])
        assert outcome["result"] == {"replayed": 1}
    published = await eventually(lambda: _when(ingress.published(), 3))
    assert len(set(published)) == 3
    assert {message.data for message in await ingress.messages(STRIPE_EVENTS_STREAM)} == {
        body(stripe_event("evt_1"))
    }


async def test_events_that_never_arrived_are_found_by_reconciliation(
    ingress: Ingress, stand_in: StripeStandIn
) -> None:
    async with httpx.AsyncClient(base_url=stand_in.url, auth=(SECRET_KEY, "")) as stripe:
        for number in range(120):
            await stripe.post("/v1/customers", data={"email": f"{number}@example.com"})
        listed = (await stripe.get("/v1/events", params={"limit": 1})).json()["data"]
    arrived = json.dumps(listed[0]).encode()
    assert (await ingress.post(arrived)).status_code == 200

    outcome = await ingress.ask("reconcile", command_id="r1", since="2026-01-01T00:00:00Z")
    assert outcome["result"] == {"listed": 120, "ingested": 119}
    stored = await ingress.stored()
    assert len(stored) == 120
    assert set(stored.values()) == {"ignored"}  # nobody acts on `customer.created`
    assert sorted(await eventually(lambda: _when(ingress.published(), 120))) == sorted(stored)
    again = await ingress.ask("reconcile", command_id="r2", since="2026-01-01T00:00:00Z")
    assert again["result"] == {"listed": 120, "ingested": 0}


async def test_the_hourly_tick_reconciles_and_stores_its_position(
    ingress: Ingress, stand_in: StripeStandIn
) -> None:
    # Missed for two days, which on a test clock are over already.
    two_days_ago = str(int(time.time()) - 2 * 86_400)
    async with httpx.AsyncClient(base_url=stand_in.url, auth=(SECRET_KEY, "")) as stripe:
        clocks = "/v1/test_helpers/test_clocks"
        clock = (await stripe.post(clocks, data={"frozen_time": two_days_ago})).json()["id"]
        await stripe.post("/v1/customers", data={"email": "missed@example.com", "test_clock": clock})
        listed = (await stripe.get("/v1/events", params={"type": "customer.created"})).json()["data"]
    assert [str(event["created"]) for event in listed] == [two_days_ago]
    # Whatever a tick says, Stripe's list ends at the present.
    tick = b'{"at": "2100-01-01T00:00:00Z"}'
    await ingress.client.jetstream().publish("billing.ticks.webhooks.reconcile", tick)
    await eventually(lambda: _has(ingress, listed[0]["id"]))

    async def remembered() -> list[Any]:
        async with await psycopg.AsyncConnection.connect(ingress.owner_url) as connection:
            return await (await connection.execute("SELECT until FROM webhooks.reconciled")).fetchall()

    [(until,)] = await eventually(remembered)
    assert until <= datetime.now(UTC)


async def test_reconciliation_can_be_retried_while_stripe_is_away(
    ingress: Ingress, stand_in: StripeStandIn
) -> None:
    stand_in.goes_away_after(0)
    outcome = await ingress.ask("reconcile", command_id="r1", since="2026-01-01T00:00:00Z")
    assert (outcome["status"], outcome["error"]["code"]) == ("failed", "unavailable")
    stand_in.comes_back()
    outcome = await ingress.ask("reconcile", command_id="r1", since="2026-01-01T00:00:00Z")
    assert outcome["result"] == {"listed": 0, "ingested": 0}


async def _has(ingress: Ingress, event_id: str) -> bool:
    return event_id in await ingress.stored()


async def _when(looking: Any, count: int, *, at_all: bool = False) -> Any:
    """Wait until the lookup finds this many, and return them."""
    found = await looking
    return (found or True) if len(found) == count else None


async def _post_endlessly(url: str, head: str) -> tuple[bytes, int]:
    """Post a body until the connection is closed; return the status of the answer and the bytes sent."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"POST {PATH} HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n".encode())
    answer = asyncio.create_task(reader.readline())
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    sent = 0
    with suppress(ConnectionError):
        while sent < 1000 * MAX_BYTES:
            writer.write(chunk)
            await writer.drain()
            sent += len(chunk)
    status = (await answer).split()[1]
    writer.transport.abort()
    return status, sent
