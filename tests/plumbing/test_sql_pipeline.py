"""Pipelined statements: values, errors, and the state of the connection afterwards."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import cast

import psycopg
import pytest
import sqlalchemy as sa
from psycopg.pq import TransactionStatus
from psycopg.types.numeric import Int8

from shared.persistence.database import make_engine
from shared.persistence.sql_pipeline import COMMIT, Driver, Statement, forget_prepared, roll_back, send
from tests.support.waiting import eventually

ADD = Statement("INSERT INTO things (id, at, body) VALUES ($1, $2, $3)")
COUNT = Statement("SELECT count(*) FROM things")
NAP = Statement("SELECT pg_sleep($1::float8)")


@pytest.fixture
async def driver(database_url: str) -> AsyncIterator[Driver]:
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        await send(
            connection, Statement("CREATE TABLE things (id text PRIMARY KEY, at timestamptz, body bytea)")()
        )
        await send(connection, COMMIT)
        yield connection


async def test_values_of_every_kind_arrive_as_they_were(driver: Driver) -> None:
    moment = datetime(2026, 1, 31, 12, 30, 0, 123456, tzinfo=UTC)
    statement = Statement(
        "SELECT $1::text, $2::bigint, $3::timestamptz, $4::bytea, $5::text, $6::text[], $7::bytea[], "
        "$8::bigint[], $9::text[], $10::boolean, $11::jsonb"
    )
    values = ("ä'\\", -(2**40), moment, b"\x00\xff", None, ["a", None, "{}"], [b"\x00"], [Int8(1), None])
    (answer,) = await send(driver, statement(*values, [None, None], True, '{"a": [1]}'))
    assert answer.rows == [(*values, [None, None], True, {"a": [1]})]


async def test_all_is_one_transaction_until_its_commit(driver: Driver, database_url: str) -> None:
    added, counted = await send(driver, ADD("a", datetime.now(UTC), b"1"), COUNT())
    assert (added.changed, counted.rows) == (1, [(1,)])
    async with await psycopg.AsyncConnection.connect(database_url) as other:
        assert (await send(other, COUNT()))[0].rows == [(0,)]
        await roll_back(other)
        await send(driver, ADD("b", None, None), COMMIT)
        assert driver.pgconn.transaction_status == TransactionStatus.IDLE
        assert (await send(other, COUNT()))[0].rows == [(2,)]


async def test_the_first_error_is_raised_and_nothing_after_it_is_run(driver: Driver) -> None:
    await send(driver, ADD("a", None, None), COMMIT)
    with pytest.raises(psycopg.errors.UniqueViolation) as raised:
        await send(driver, ADD("b", None, None), ADD("a", None, None), COMMIT)
    assert raised.value.diag.table_name == "things"
    await roll_back(driver)
    assert (await send(driver, COUNT()))[0].rows == [(1,)]


async def test_what_cannot_be_prepared_is_an_error_each_time(driver: Driver) -> None:
    for _ in range(2):
        with pytest.raises(psycopg.errors.UndefinedTable):
            await send(driver, COUNT(), Statement("SELECT FROM nowhere")(), COMMIT)
        await roll_back(driver)
    assert (await send(driver, COUNT()))[0].rows == [(0,)]


async def test_what_is_prepared_outlives_a_rollback(driver: Driver) -> None:
    await send(driver, COUNT())
    await roll_back(driver)
    (known,) = await send(
        driver, Statement("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%things'")()
    )
    assert known.rows == [(1,)]
    assert (await send(driver, COUNT()))[0].rows == [(0,)]


async def test_psycopg_may_have_the_server_forget(driver: Driver) -> None:
    await send(driver, COUNT())
    await driver.execute("SELECT 1", prepare=True)
    forget_prepared(driver)
    await driver.rollback()
    assert (await send(driver, COUNT()))[0].rows == [(0,)]


async def test_sqlalchemy_may_have_the_server_forget(database_url: str) -> None:
    engine = make_engine(database_url, "test")
    one = Statement("SELECT 1")
    try:
        for _ in range(10):
            async with engine.connect() as connection:
                await connection.execute(sa.text("SELECT 2"))
            pooled = await engine.raw_connection()
            driver = cast(Driver, pooled.driver_connection)
            assert (await send(driver, one()))[0].rows == [(1,)]
            await roll_back(driver)
            pooled.close()
    finally:
        await engine.dispose()


async def test_psycopg_goes_on_in_the_same_transaction(driver: Driver) -> None:
    await send(driver, ADD("a", None, None))
    cursor = await driver.execute("SELECT id FROM things")
    assert await cursor.fetchall() == [("a",)]
    await roll_back(driver)
    assert (await send(driver, COUNT()))[0].rows == [(0,)]


async def test_without_transactions_nothing_is_begun(driver: Driver) -> None:
    await driver.set_autocommit(True)
    await send(driver, ADD("a", None, None))
    assert driver.pgconn.transaction_status == TransactionStatus.IDLE


async def test_more_than_the_sockets_hold_goes_both_ways(driver: Driver) -> None:
    echo = Statement("SELECT $1::text")
    answers = await send(driver, *(echo(str(number) * 3_000_000) for number in range(6)))
    assert [len(answer.rows[0][0]) for answer in answers] == [3_000_000] * 6


async def test_cancelled_in_the_middle_the_connection_is_whole(driver: Driver, database_url: str) -> None:
    task = asyncio.create_task(send(driver, ADD("a", None, None), NAP(60), COMMIT))
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as other:

        async def is_napping() -> bool:
            busy = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
            row = await (await other.execute(busy)).fetchone()
            return row == (1,)

        await eventually(is_napping)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await roll_back(driver)
    assert (await send(driver, COUNT()))[0].rows == [(0,)]


async def test_a_connection_ended_by_the_server_is_operational_error(
    driver: Driver, database_url: str
) -> None:
    task = asyncio.create_task(send(driver, NAP(60)))
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as other:

        async def is_ended() -> bool:
            end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
            return await (await other.execute(end)).fetchone() == (True,)

        await eventually(is_ended)
    with pytest.raises(psycopg.OperationalError):
        await task
    assert driver.closed
