"""Feed consumers: events in any order, any number of times, in one transaction with their effect."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from shared.messaging.feed_consumer import Begin, EventName, keep_newest, keep_newest_of
from shared.messaging.redelivery import Incoming, Undeliverable
from shared.messaging.service import Service
from shared.observability.tracing import handling
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.subjects import SERVICE_FEED_STREAM
from tests.support.runtime import NOON, Bound
from tests.support.toy import service as toy
from tests.support.waiting import eventually

SUBJECT = "billing.change_feed.counter.organization_acme.movedV1"


class KnownCounter(toy.Row):
    """A copy of a counter of another service."""

    __tablename__ = "known_counters"
    counter_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    value: Mapped[int]


def moved(counter: str, version: int, value: int, at: datetime = NOON) -> toy.CounterEvent:
    """An event of a counter."""
    return toy.CounterEvent(
        event_id=f"evt_{counter}{version}",
        occurred_at=at,
        version=version,
        caused_by="somebody",
        customer=toy.ACME,
        counter=toy.CounterSnapshot(counter_id=counter, value=value),
    )


@pytest.fixture
def service() -> Service:
    """A service of its own with the toy's tables."""
    return Service("toy", metadata=toy.Row.metadata)


@pytest.fixture
async def listening(service: Service, database_url: str) -> AsyncIterator[Bound]:
    """The service on a database; what it listens to is registered by each test."""
    toy.create(database_url)
    bound = Bound(service, database_url, url=database_url)
    yield bound
    await bound.close()


def note(event: toy.CounterEvent) -> dict[str, object]:
    """What is kept of an event."""
    counter = event.counter
    return {"counter_id": counter.counter_id, "version": event.version, "value": counter.value}


async def known(bound: Bound) -> dict[str, tuple[int, int]]:
    """Version and value of every counter known."""
    rows = await bound.rows("SELECT * FROM toy.known_counters")
    return {row["counter_id"]: (row["version"], row["value"]) for row in rows}


async def test_an_older_version_is_told_from_news_in_any_order(service: Service, listening: Bound) -> None:
    news: list[tuple[int, bool]] = []

    @service.event(toy.CounterEvent, name="note_counter")
    async def note_counter(work: UnitOfWork, event: toy.CounterEvent) -> None:
        news.append((event.version, await keep_newest(work, KnownCounter, **note(event))))

    for version in (2, 1, 2, 3):
        await listening.hears(moved("a", version, version * 10), "moved")
    assert news == [(2, True), (1, False), (2, False), (3, True)]
    assert await known(listening) == {"a": (3, 30)}


async def test_a_handler_gets_the_name_cause_and_time_of_an_event(service: Service, listening: Bound) -> None:
    heard: list[tuple[str, str, datetime]] = []

    @service.event(toy.CounterEvent, name="note_counter")
    async def note_counter(work: UnitOfWork, event: toy.CounterEvent, name: EventName) -> None:
        heard.append((name, work.caused_by, work.now))

    later = NOON + timedelta(days=40)
    await listening.hears(moved("a", 1, 1, at=NOON - timedelta(hours=1)), "moved")
    await listening.hears(moved("b", 1, 1, at=later), "moved")
    assert heard == [("moved", "somebody", NOON), ("moved", "somebody", later)]


async def test_a_bad_event_does_not_affect_its_batch(service: Service, listening: Bound) -> None:
    groups: list[list[str]] = []

    @service.event(toy.CounterEvent, name="note_counters", together=True)
    async def note_counters(work: UnitOfWork, events: list[toy.CounterEvent]) -> None:
        groups.append([event.counter.counter_id for event in events])
        await keep_newest_of(work, KnownCounter, [note(event) for event in events])
        if any(event.counter.counter_id == "bad" for event in events):
            raise ValueError("no good")

    events = [moved(name, version, version) for name in ("a", "b", "bad") for version in (2, 1)]
    outcomes = await asyncio.gather(
        *(listening.hears(event, "moved") for event in events), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [type(None)] * 4 + [ValueError] * 2
    assert await known(listening) == {"a": (2, 2), "b": (2, 2)}
    assert len(groups[0]) > 1 or len(groups[1]) > 1


def repeat(work: UnitOfWork, event: toy.CounterEvent, caused_by: str | None = None) -> None:
    """Emit an event about the counter of the consumed one."""
    counter = event.counter
    work.emit(toy.CounterEvent, "moved", customer=toy.ACME, version=1, counter=counter, caused_by=caused_by)


async def hear_traced(listening: Bound, number: int, trace: int | None) -> None:
    """Deliver an event with the trace of this number, or without one."""
    headers = {} if trace is None else {"traceparent": f"00-{trace:032x}-00f067aa0ba902b7-01"}
    event = moved(f"c{number}", 1, 1).model_copy(update={"caused_by": f"cause-{number}"})
    incoming = Incoming(SUBJECT, headers, event.model_dump_json().encode(), 1, NOON, SERVICE_FEED_STREAM)
    with handling("delivery", headers):
        await listening.runtime.feed_consumer.consume(incoming)


async def traces_told(listening: Bound) -> dict[str, int | None]:
    """Return the trace of each emitted message by its cause."""
    found = {row["caused_by"]: row["headers"].get("traceparent") for row in await listening.outbox()}
    return {cause: int(trace[3:35], 16) if trace else None for cause, trace in found.items()}


async def test_events_of_a_batch_keep_their_own_traces(service: Service, listening: Bound) -> None:
    @service.event(toy.CounterEvent, name="note_counters", together=True)
    async def note_counters(work: UnitOfWork, events: list[toy.CounterEvent]) -> None:
        for event in events:
            repeat(work, event, event.caused_by)

    await asyncio.gather(
        *(hear_traced(listening, number, trace) for number, trace in enumerate((1, None, 3)))
    )
    assert await traces_told(listening) == {"cause-0": 1, "cause-1": None, "cause-2": 3}


async def test_a_group_has_no_trace_from_the_one_before_it(service: Service, listening: Bound) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    @service.event(toy.CounterEvent, name="note_counters", together=True)
    async def note_counters(work: UnitOfWork, events: list[toy.CounterEvent]) -> None:
        begun.set()
        await go_on.wait()
        for event in events:
            repeat(work, event)

    first = asyncio.create_task(hear_traced(listening, 1, 1))
    await begun.wait()
    second = asyncio.create_task(hear_traced(listening, 2, None))
    group = listening.runtime.feed_consumer.groups["note_counters"]
    await eventually(lambda: group.waiting == 1)
    go_on.set()
    await asyncio.gather(first, second)
    assert await traces_told(listening) == {"cause-1": 1, "cause-2": None}


async def test_whoever_meets_a_deadlock_is_heard_again_at_once(service: Service, listening: Bound) -> None:
    tries: list[int] = []

    @service.event(toy.CounterEvent, name="note_counter")
    async def note_counter(work: UnitOfWork, event: toy.CounterEvent) -> None:
        tries.append(event.version)
        await keep_newest(work, KnownCounter, **note(event))
        if len(tries) < 3:
            raise psycopg.errors.DeadlockDetected("as Postgres says it")

    await listening.hears(moved("a", 1, 5), "moved")
    assert tries == [1, 1, 1]
    assert await known(listening) == {"a": (1, 5)}


async def test_what_is_too_much_for_one_transaction_opens_several(service: Service, listening: Bound) -> None:
    @service.event(toy.CounterEvent, name="note_counter", in_parts=True)
    async def note_counter(begin: Begin, event: toy.CounterEvent) -> None:
        async with begin() as work:
            await keep_newest(work, KnownCounter, **note(event))
        async with begin() as work:
            await work.session.execute(sa.update(KnownCounter).values(value=KnownCounter.value + 1))
            raise ValueError("only this part is undone")

    with pytest.raises(ValueError, match="only this part"):
        await listening.hears(moved("a", 1, 5), "moved")
    assert await known(listening) == {"a": (1, 5)}


async def test_invalid_bodies_are_undeliverable_and_others_skipped(
    service: Service, listening: Bound
) -> None:
    @service.event(toy.CounterEvent, name="note_counter")
    async def note_counter(work: UnitOfWork, event: toy.CounterEvent) -> None:
        raise AssertionError("must not be called")

    def incoming(subject: str, body: bytes) -> Incoming:
        return Incoming(subject, {}, body, 1, datetime.now(UTC), SERVICE_FEED_STREAM)

    feed_consumer = listening.runtime.feed_consumer
    with pytest.raises(Undeliverable, match="CounterEvent"):
        await feed_consumer.consume(incoming(SUBJECT, b"{}"))
    await feed_consumer.consume(incoming(SUBJECT.replace("V1", "V2"), b"{}"))
    await feed_consumer.consume(incoming(SUBJECT.replace("counter", "sheep"), b"{}"))
    await feed_consumer.consume(incoming("something.else", b"{}"))


def test_one_listener_for_each_kind_of_entity(service: Service) -> None:
    @service.event(toy.CounterEvent, name="note_counter")
    async def note_counter(work: UnitOfWork, event: toy.CounterEvent) -> None:
        pass

    with pytest.raises(ValueError, match="already"):
        service.event(toy.CounterEvent, name="note_counter")(note_counter)
