"""Failing messages and ticks: retried with pauses, then dead-lettered, without delaying others."""

import asyncio
from datetime import UTC, datetime

import pytest
from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeout
from nats.js.api import ConsumerConfig

from shared.errors import Unavailable
from shared.messaging import redelivery
from shared.messaging.redelivery import Incoming, Undeliverable
from shared.messaging.service import Service
from shared.persistence.unit_of_work import Transactions
from tests.support.toy import service as toy
from tests.support.toy.worker import Start
from tests.support.waiting import eventually


async def test_an_invalid_queued_body_is_dead_lettered_at_once(start: Start, connection: Client) -> None:
    async with start(toy.service):
        jetstream = connection.jetstream()
        await jetstream.publish("billing.commands.toy.increment", b"nonsense", headers={"Mine": "kept"})
        await jetstream.publish("billing.commands.toy.no_such_thing", b"{}")

        async def buried() -> bool:
            return (await jetstream.stream_info("BILLING_DEAD_LETTERS")).state.messages == 2

        await eventually(buried)
        letter = await jetstream.get_last_msg("BILLING_DEAD_LETTERS", "billing.dead_letters.toy.increment")
        headers = dict(letter.headers or {})
        assert letter.data == b"nonsense"
        assert headers["Billing-Origin-Subject"] == "billing.commands.toy.increment"
        assert headers["Billing-Origin-Stream"] == "BILLING_COMMANDS"
        assert "invalid_message" in headers["Billing-Error"]
        assert headers["Mine"] == "kept"

        async def all_acknowledged() -> bool:
            info = await jetstream.consumer_info("BILLING_COMMANDS", "toy-commands")
            return (info.num_pending, info.num_ack_pending) == (0, 0)

        await eventually(all_acknowledged)


async def test_commands_of_a_batch_become_dead_letters_like_any_others(
    start: Start, connection: Client
) -> None:
    async with start(toy.service):
        subject, batch = "billing.commands.toy.increment", {"Nats-Batch-Id": "one", "Mine": "kept"}
        await connection.publish(subject, b"nonsense", headers={**batch, "Nats-Batch-Sequence": "1"})
        last = {**batch, "Nats-Batch-Sequence": "2", "Nats-Batch-Commit": "1"}
        await connection.request(subject, b"more of it", headers=last, timeout=5)
        jetstream = connection.jetstream()

        async def buried() -> bool:
            return (await jetstream.stream_info("BILLING_DEAD_LETTERS")).state.messages == 2

        await eventually(buried)
        letter = await jetstream.get_msg("BILLING_DEAD_LETTERS", 1)
        assert (letter.headers or {})["Mine"] == "kept"


async def test_a_failing_tick_is_dead_lettered(
    start: Start, connection: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redelivery, "DELIVERIES_MAX", 1)
    service = Service("toy", metadata=toy.Row.metadata)

    @service.job("tidy")
    async def tidy(transactions: Transactions, at: datetime) -> None:
        raise ValueError("no good")

    async with start(service):
        jetstream = connection.jetstream()
        headers = {"Nats-Schedule": "@every 1s", "Nats-Schedule-Target": "billing.scheduled.toy.tidy"}
        await jetstream.publish("billing.schedules.toy.tidy", b"{}", headers=headers)

        async def buried() -> bool:
            return (await jetstream.stream_info("BILLING_DEAD_LETTERS")).state.messages > 0

        await eventually(buried)


async def test_a_failing_message_is_retried_and_then_dead_lettered(
    start: Start, connection: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redelivery, "RETRY_DELAYS_SECONDS", (0.05, 0.1))
    monkeypatch.setattr(redelivery, "DELIVERIES_MAX", 3)
    tries: list[tuple[str, int]] = []
    service = Service("toy", metadata=toy.Row.metadata)

    @service.follow("toy-things", stream="THINGS", name="take_thing")
    async def handle(transactions: Transactions, incoming: Incoming) -> None:
        tries.append((incoming.subject, incoming.attempt))
        if incoming.subject == "things.bad":
            raise ValueError("no good")
        if incoming.subject == "things.hopeless":
            raise Undeliverable("never")

    async with start(service):
        jetstream = connection.jetstream()
        for subject in ("things.bad", "things.good", "things.hopeless"):
            await jetstream.publish(subject, b"body")

        async def buried() -> bool:
            return (await jetstream.stream_info("BILLING_DEAD_LETTERS")).state.messages == 2

        await eventually(buried)
        assert sorted(tries) == [
            ("things.bad", 1),
            ("things.bad", 2),
            ("things.bad", 3),
            ("things.good", 1),
            ("things.hopeless", 1),
        ]
        letter = await jetstream.get_last_msg("BILLING_DEAD_LETTERS", "billing.dead_letters.toy.take_thing")
        assert dict(letter.headers or {})["Billing-Origin-Subject"] == "things.bad"


async def test_unavailable_dependencies_are_retried_for_longer(
    start: Start, connection: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redelivery, "RETRY_DELAYS_SECONDS", (0.05,))
    monkeypatch.setattr(redelivery, "DELIVERIES_MAX", 2)
    monkeypatch.setattr(redelivery, "DELIVERIES_WITHOUT_END_MAX", 4)
    tries: list[int] = []
    service = Service("toy", metadata=toy.Row.metadata)

    @service.follow("toy-things", stream="THINGS", name="take_thing")
    async def take_thing(transactions: Transactions, incoming: Incoming) -> None:
        tries.append(incoming.attempt)
        raise Unavailable("somebody outside is away")

    async with start(service):
        jetstream = connection.jetstream()
        await jetstream.publish("things.any", b"body")

        async def buried() -> bool:
            return (await jetstream.stream_info("BILLING_DEAD_LETTERS")).state.messages == 1

        await eventually(buried)
    assert tries == [1, 2, 3, 4]


async def test_a_slow_message_is_not_redelivered_while_in_progress(
    start: Start, connection: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redelivery, "PROGRESS_SECONDS", 0.1)
    ack_wait_seconds = 0.5
    await connection.jetstream().add_consumer(
        "THINGS",
        ConsumerConfig(
            durable_name="toy-things",
            filter_subjects=["things.>"],
            max_deliver=-1,
            ack_wait=ack_wait_seconds,
        ),
    )
    begun, go_on = asyncio.Event(), asyncio.Event()
    service = Service("toy", metadata=toy.Row.metadata)

    @service.follow("toy-things", stream="THINGS", name="take_thing")
    async def take_thing(transactions: Transactions, incoming: Incoming) -> None:
        begun.set()
        await go_on.wait()

    async with start(service):
        jetstream = connection.jetstream()
        await jetstream.publish("things.any", b"body")
        await begun.wait()
        somebody_else = await jetstream.pull_subscribe_bind("toy-things", "THINGS")
        with pytest.raises(NatsTimeout):
            await somebody_else.fetch(1, timeout=4 * ack_wait_seconds)
        go_on.set()


async def test_a_tick_carries_its_time_or_that_of_its_publication(start: Start, connection: Client) -> None:
    moments: list[datetime] = []
    service = Service("toy", metadata=toy.Row.metadata)

    @service.job("tidy")
    async def tidy(transactions: Transactions, at: datetime) -> None:
        moments.append(at)

    async with start(service):
        jetstream = connection.jetstream()
        await jetstream.publish("billing.ticks.toy.tidy", b'{"at": "2026-02-01T00:05:00Z"}')
        await eventually(lambda: moments == [datetime(2026, 2, 1, 0, 5, tzinfo=UTC)])
        before = datetime.now(UTC)
        await jetstream.publish("billing.ticks.toy.tidy", b"{}")
        await eventually(lambda: len(moments) == 2)
        assert abs((moments[1] - before).total_seconds()) < 5


async def test_a_schedule_of_jetstream_ticks_without_us(connection: Client) -> None:
    jetstream = connection.jetstream()
    headers = {"Nats-Schedule": "@every 1s", "Nats-Schedule-Target": "billing.scheduled.toy.tidy"}
    await jetstream.publish("billing.schedules.toy.tidy", b"{}", headers=headers)

    async def ticked() -> bool:
        return ((await jetstream.consumer_info("BILLING_TICKS", "toy-ticks")).num_pending or 0) >= 2

    await eventually(ticked)
