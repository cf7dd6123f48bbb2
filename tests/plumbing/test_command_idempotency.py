"""Idempotency of commands: each takes effect once, whatever the caller does."""

import asyncio

import orjson
import pytest

from shared.messaging.external_command import ExternalCommandSteps
from shared.messaging.service import Service
from shared.persistence.unit_of_work import UnitOfWork
from tests.support.runtime import Bound
from tests.support.toy import service as toy
from tests.support.toy.service import Charge, Fill, GetCounter, Increment, Outside


async def test_a_command_takes_effect_and_tells_of_it(counters: Bound) -> None:
    outcome = await counters.handle(Increment(command_id="a", counter="x", by=3))
    assert orjson.loads(outcome.to_json()) == {
        "command_id": "a",
        "status": "succeeded",
        "result": {"counter_id": "x", "value": 3},
    }
    [(subject, event)] = await counters.feed()
    assert subject == "billing.change_feed.counter.organization_acme.movedV1"
    assert event["version"] == 1
    assert event["caused_by"] == "a"
    assert event["counter"] == {"counter_id": "x", "value": 3}
    assert event["customer"] == {"type": "organization", "id": "acme"}


async def test_a_command_sent_a_hundred_times_counts_once(counters: Bound) -> None:
    command = Increment(command_id="once", counter="x", by=5)
    first = await asyncio.gather(*(counters.handle(command) for _ in range(50)))
    later = [await counters.handle(command) for _ in range(50)]
    assert {outcome.to_json() for outcome in first + later} == {first[0].to_json()}
    assert first[0].result == {"counter_id": "x", "value": 5}
    assert len(await counters.feed()) == 1


async def test_the_same_id_with_other_content_is_a_conflict(counters: Bound) -> None:
    await counters.handle(Increment(command_id="a", counter="x", by=1))
    outcome = await counters.handle(Increment(command_id="a", counter="x", by=2))
    assert outcome.status == "rejected"
    assert outcome.error is not None
    assert outcome.error.code == "idempotency_conflict"
    again = await counters.handle(Increment(command_id="a", counter="x", by=1, requested_by="somebody else"))
    assert again.status == "succeeded"


async def test_a_rejection_has_no_effect_and_is_final(counters: Bound) -> None:
    await counters.handle(Increment(command_id="a", counter="x", by=999))
    refused = await counters.handle(Increment(command_id="b", counter="x", by=2))
    assert refused.error is not None
    assert (refused.error.code, refused.error.details) == ("too_much", {"limit": 1000})
    assert (await counters.handle(GetCounter(counter="x"))).result == {"counter_id": "x", "value": 999}
    assert len(await counters.feed()) == 1
    await counters.handle(Increment(command_id="c", counter="x", by=1))
    assert (
        await counters.handle(Increment(command_id="b", counter="x", by=2))
    ).to_json() == refused.to_json()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", ""),
        (b"not json", ""),
        (b"[]", ""),
        (b'{"command_id": "a"}', "counter"),
        (b'{"command_id": "a", "counter": 7}', "counter"),
        (b'{"command_id": "a", "counter": "x", "by": "3"}', "by"),
        (b'{"command_id": "a", "counter": "x", "by": 3.5}', "by"),
        (b'{"command_id": "a", "counter": "x", "by": 9223372036854775808}', "by"),
        (b'{"command_id": "a", "counter": "x", "by": 1e400}', "by"),
        (b'{"command_id": "a", "counter": "x", "extra": 1}', "extra"),
        (b'{"command_id": "a", "counter": "x\\u0000"}', "counter"),
        (b'{"command_id": "a", "counter": "\\ud800"}', ""),
        (b'{"command_id": "", "counter": "x"}', "command_id"),
        (b'{"command_id": "a", "counter": "' + b"x" * 400_000 + b'"}', "counter"),
        (b'{"command_id": "a", "counter": "' + b"x" * 1_000_000 + b'"}', ""),
        (b"[" * 100_000, ""),
        (b"\xff\xfe", ""),
    ],
)
async def test_a_bad_body_gets_invalid_message_and_stores_nothing(
    counters: Bound, body: bytes, field: str
) -> None:
    outcome = await counters.handle_body("increment", body)
    answer = orjson.loads(outcome.to_json())
    assert answer["status"] == "rejected"
    assert answer["error"]["code"] == "invalid_message"
    assert field in [problem["field"] for problem in answer["error"]["details"]["fields"]]
    assert len(outcome.to_json()) < 2_000
    assert await counters.rows("SELECT * FROM toy.inbox") == []


async def test_a_refused_body_still_names_the_command(counters: Bound) -> None:
    outcome = await counters.handle_body("increment", b'{"command_id": "mine", "typo": 1}')
    assert outcome.command_id == "mine"
    assert (await counters.handle_body("increment", b"no json")).command_id is None


async def test_an_external_command_records_what_was_agreed_outside(counters: Bound, outside: Outside) -> None:
    outcome = await counters.handle(Charge(command_id="a", counter="x"))
    assert outcome.result == {"counter_id": "x", "value": 1}
    assert outside.charged == {"toy:a:charge": 1}


async def test_an_interrupted_external_command_keeps_its_intent(counters: Bound, outside: Outside) -> None:
    outside.away = True
    failed = await counters.handle(Charge(command_id="a", counter="x"))
    assert (failed.status, failed.error and failed.error.code) == ("failed", "unavailable")
    await counters.handle(Increment(command_id="b", counter="x", by=100))
    outside.away = False
    [(handler, body)] = await counters.runtime.unfinished(counters.now.replace(hour=13), limit=10)
    await counters.runtime.finish(handler, body, counters.now)
    assert outside.charged == {"toy:a:charge": 1}
    outcome = await counters.handle(Charge(command_id="a", counter="x"))
    assert outcome.result == {"counter_id": "x", "value": 101}
    assert await counters.runtime.unfinished(counters.now.replace(hour=13), limit=10) == []


async def test_a_concurrent_external_command_happens_once(counters: Bound, outside: Outside) -> None:
    command = Charge(command_id="a", counter="x")
    outcomes = await asyncio.gather(*(counters.handle(command) for _ in range(20)))
    assert {outcome.to_json() for outcome in outcomes} == {outcomes[0].to_json()}
    assert outcomes[0].result == {"counter_id": "x", "value": 1}
    assert len(await counters.feed()) == 1


async def test_the_losing_plan_is_rolled_back_and_emits_nothing(database_url: str) -> None:
    """Both plans are made before either intent is stored."""
    service = Service("toy", metadata=toy.Row.metadata)
    both_planned, both_know = asyncio.Barrier(2), asyncio.Barrier(2)

    @service.external_command(Charge)
    async def charge(steps: ExternalCommandSteps, command: Charge) -> toy.CounterSnapshot:
        async def plan(work: UnitOfWork) -> toy.ChargeIntent:
            counter = toy.CounterSnapshot(counter_id="x", value=1)
            work.emit(toy.CounterEvent, "moved", customer=toy.ACME, version=1, counter=counter)
            await both_planned.wait()
            return toy.ChargeIntent(amount=1)

        intent = await steps.intend(plan, toy.ChargeIntent)
        await both_know.wait()

        async def save(work: UnitOfWork) -> toy.CounterSnapshot:
            return toy.CounterSnapshot(counter_id="x", value=intent.amount)

        return await steps.record(save)

    toy.create(database_url)
    bound = Bound(service, database_url, url=database_url)
    async with asyncio.timeout(15):
        command = Charge(command_id="a", counter="x")
        outcomes = await asyncio.gather(bound.handle(command), bound.handle(command))
    assert [outcome.result for outcome in outcomes] == [{"counter_id": "x", "value": 1}] * 2
    assert len(await bound.feed()) == 1
    await bound.close()


async def test_an_external_refusal_is_stored(counters: Bound, outside: Outside) -> None:
    outside.refuses = True
    refused = await counters.handle(Charge(command_id="a", counter="x"))
    assert (refused.status, refused.error and refused.error.code) == ("rejected", "payment_failed")
    outside.refuses = False
    assert (await counters.handle(Charge(command_id="a", counter="x"))).to_json() == refused.to_json()
    assert outside.charged == {}


async def test_an_external_command_keeps_its_first_outcome(counters: Bound) -> None:
    command = Fill(command_id="a", counter="x")
    filled = await counters.handle(command)
    assert filled.result == {"counter_id": "x", "value": 600}
    assert (await counters.handle(command)).to_json() == filled.to_json()
    other = await counters.handle(Fill(command_id="a", counter="y"))
    assert other.error is not None
    assert other.error.code == "idempotency_conflict"
    refused = await counters.handle(Fill(command_id="b", counter="x"))
    assert refused.error is not None
    assert refused.error.code == "too_much"
    again = await counters.handle(Fill(command_id="b", counter="y"))
    assert again.error is not None
    assert again.error.code == "idempotency_conflict"
    assert len(await counters.feed()) == 1


@pytest.mark.parametrize("count", [1, 30])
async def test_the_messages_of_one_work_are_kept_in_their_order(counters: Bound, count: int) -> None:
    async with counters.runtime.transactions.begin(caused_by="tick", now=counters.now) as work:
        for number in range(count):
            work.publish("ANY", f"any.{number}", b"\x00\xff%d" % number, headers={"number": str(number)})
    rows = await counters.outbox("ANY")
    assert [row["payload"] for row in rows] == [b"\x00\xff%d" % number for number in range(count)]
    assert [row["headers"] for row in rows] == [{"number": str(number)} for number in range(count)]
    assert {(row["caused_by"], row["occurred_at"]) for row in rows} == {("tick", counters.now)}
