"""Command batches: waiting commands share one transaction, and each has its own outcome."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import orjson
import psycopg
import pytest
import sqlalchemy as sa

from shared.errors import Rejected
from shared.messaging.service import Service
from shared.persistence.inbox import fingerprint
from shared.persistence.plumbing_tables import service_metadata
from shared.persistence.sql_pipeline import Statement
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages.base import COMMANDS, Command, Count, TolerantModel
from tests.support.runtime import Bound

FORBIDDEN, BROKEN, STUCK, DEADLOCKED = 7, 13, 17, 19


class Sum(TolerantModel):
    """The sum of all numbers."""

    total: Count


class Add(Command[Sum], service="adder", rejections=("unlucky",)):
    """Add a number."""

    number: Count


# Known in this module only; the registry is everybody's.
del COMMANDS["adder", "add"]
metadata = service_metadata("adder")
sa.Table("sums", metadata, sa.Column("name", sa.Text, primary_key=True), sa.Column("total", sa.BigInteger))
service = Service("adder", metadata=metadata)


class Groups:
    """Records the batches in which commands were handled."""

    def __init__(self) -> None:
        self.numbers: list[list[int]] = []
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()


LOCK_TOTAL = Statement("SELECT total, nextval('adder.readings') FROM adder.sums FOR UPDATE")()


@service.command(Add, together=True, together_max=60, reads=lambda _: [LOCK_TOTAL])
async def add(work: UnitOfWork, commands: Sequence[Add], groups: Groups) -> list[Sum | Rejected]:
    """Add each number; one number is rejected, one raises an error, one deadlocks."""
    numbers = [command.number for command in commands]
    groups.numbers.append(numbers)
    (locked,) = await work.run(LOCK_TOTAL)
    total = locked.rows[0][0]
    if BROKEN in numbers:
        raise RuntimeError("this number breaks everything")
    if DEADLOCKED in numbers and len(groups.numbers) < 3:
        raise psycopg.errors.DeadlockDetected("as Postgres says it")
    if STUCK in numbers:
        groups.begun.set()
        await groups.go_on.wait()
    results: list[Sum | Rejected] = []
    for number in numbers:
        if number == FORBIDDEN:
            results.append(Rejected("unlucky", "Not that one."))
            continue
        total += number
        results.append(Sum(total=total))
    await work.driver.execute("UPDATE adder.sums SET total = %s", (total,))
    return results


@pytest.fixture
def groups() -> Groups:
    return Groups()


@pytest.fixture
async def adder(database_url: str, groups: Groups) -> AsyncIterator[Bound]:
    engine = sa.create_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE SCHEMA adder"))
        metadata.create_all(connection)
        connection.execute(sa.text("INSERT INTO adder.sums VALUES ('all', 0)"))
        connection.execute(sa.text("CREATE SEQUENCE adder.readings"))
    engine.dispose()
    bound = Bound(service, database_url, [groups], url=database_url)
    yield bound
    await bound.close()


async def total(adder: Bound) -> int:
    return int((await adder.rows("SELECT total FROM adder.sums"))[0]["total"])


async def emit(adder: Bound, *commands: tuple[str, int]) -> list[object]:
    """Send all commands concurrently; return the sum or the error code of each."""
    sent = [Add(command_id=command_id, number=number) for command_id, number in commands]
    outcomes = await asyncio.gather(*(adder.handle(command) for command in sent))
    return [
        outcome.error.code if outcome.error is not None else (outcome.result or {}).get("total")
        for outcome in outcomes
    ]


async def test_concurrent_commands_share_a_transaction_in_order(adder: Bound, groups: Groups) -> None:
    assert await emit(adder, ("a", 1), ("b", 2), ("c", 3)) == [1, 3, 6]
    assert groups.numbers == [[1, 2, 3]]
    stored = await adder.rows("SELECT command_id, name, body, outcome FROM adder.inbox ORDER BY command_id")
    assert [row["command_id"] for row in stored] == ["a", "b", "c"]
    assert stored[1]["body"]["number"] == 2
    assert stored[1]["outcome"] == {"command_id": "b", "status": "succeeded", "result": {"total": 3}}


async def test_a_batch_is_no_larger_than_the_handler_allows(adder: Bound, groups: Groups) -> None:
    await emit(adder, *((f"c{number}", 1) for number in range(130)))
    assert [len(group) for group in groups.numbers] == [60, 60, 10]


async def test_a_command_repeated_in_and_after_a_batch_counts_once(adder: Bound, groups: Groups) -> None:
    assert await emit(adder, *[("once", 5)] * 50) == [5] * 50
    assert await emit(adder, ("once", 5), ("new", 1), ("once", 5)) == [5, 6, 5]
    assert groups.numbers == [[5], [1]]
    assert await total(adder) == 6


async def test_an_id_reused_in_or_after_a_batch_is_a_conflict(adder: Bound) -> None:
    assert await emit(adder, ("a", 1), ("a", 2), ("b", 3)) == [1, "idempotency_conflict", 4]
    assert await emit(adder, ("a", 2), ("a", 1)) == ["idempotency_conflict", 1]
    assert await total(adder) == 4


async def test_a_preload_is_repeated_for_the_new_commands_only(adder: Bound) -> None:
    async def readings() -> int:
        return int((await adder.rows("SELECT last_value FROM adder.readings"))[0]["last_value"])

    assert await emit(adder, ("a", 1), ("b", 2)) == [1, 3]
    assert await readings() == 1
    assert await emit(adder, ("a", 1), ("c", 3)) == [1, 6]
    assert await readings() == 3


async def test_a_rejection_is_stored_and_nobody_elses(adder: Bound, groups: Groups) -> None:
    assert await emit(adder, ("a", 1), ("b", FORBIDDEN), ("c", 3)) == [1, "unlucky", 4]
    assert await emit(adder, ("b", FORBIDDEN)) == ["unlucky"]
    assert len(groups.numbers) == 1


async def test_a_failing_command_does_not_affect_its_batch(adder: Bound) -> None:
    assert await emit(adder, ("a", 1), ("b", 2), ("c", BROKEN), ("d", 4)) == [1, 3, "unavailable", 7]
    stored = await adder.rows("SELECT command_id FROM adder.inbox ORDER BY command_id")
    assert [row["command_id"] for row in stored] == ["a", "b", "d"]


async def test_a_group_that_meets_a_deadlock_is_tried_again_as_it_is(adder: Bound, groups: Groups) -> None:
    assert await emit(adder, ("a", 1), ("b", DEADLOCKED)) == [1, 20]
    assert groups.numbers == [[1, DEADLOCKED]] * 3


async def test_two_workers_with_the_same_commands_do_each_once(
    adder: Bound, database_url: str, groups: Groups
) -> None:
    other = Bound(service, database_url, [groups], url=database_url)
    commands = [(f"c{number}", 1) for number in range(40)]
    mine, theirs = await asyncio.gather(emit(adder, *commands), emit(other, *reversed(commands)))
    assert mine == list(reversed(theirs))
    assert sorted(int(str(each)) for each in mine) == list(range(1, 41))
    assert await total(adder) == 40
    await other.close()


@pytest.mark.parametrize("neighbours", [[("b", 1)], []])
async def test_a_command_settled_elsewhere_gets_that_outcome(
    adder: Bound, database_url: str, groups: Groups, neighbours: list[tuple[str, int]]
) -> None:
    groups.go_on.clear()
    handling = asyncio.create_task(emit(adder, ("a", STUCK), *neighbours))
    async with await psycopg.AsyncConnection.connect(database_url) as elsewhere:
        await groups.begun.wait()
        await elsewhere.execute(
            """INSERT INTO adder.inbox (command_id, name, fingerprint, body, received_at, outcome)
               VALUES ('a', 'add', %s, '{}', now(), %s)""",
            (
                fingerprint(Add(command_id="a", number=STUCK)),
                orjson.dumps({"command_id": "a", "status": "succeeded", "result": {"total": 99}}).decode(),
            ),
        )
    groups.go_on.set()
    numbers = [number for _, number in neighbours]
    assert await handling == [99, *numbers]
    assert await total(adder) == sum(numbers)


async def test_while_the_database_is_away_everybody_may_ask_again(adder: Bound, database_url: str) -> None:
    await emit(adder, ("a", 1))
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert await emit(adder, ("b", 1), ("c", 1)) == ["unavailable", "unavailable"]
    assert await emit(adder, ("b", 1), ("c", 1)) == [2, 3]
