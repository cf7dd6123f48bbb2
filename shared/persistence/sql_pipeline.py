"""Statements sent together and answered together: one journey to Postgres for several, each prepared once.

A worker that has one caller waiting spends more on asking Postgres than Postgres spends on answering. This is
psycopg's own connection, waiting and conversions, without a cursor for each statement and a journey for each
cursor.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, cached_property
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import psycopg
from psycopg import errors
from psycopg.abc import PQGen
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ExecStatus, Format, PipelineStatus, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult
from psycopg.waiting import WAIT_R, WAIT_RW

Driver = psycopg.AsyncConnection[tuple[Any, ...]]
"""A connection below SQLAlchemy."""

_prepared: "WeakKeyDictionary[Driver, set[bytes]]" = WeakKeyDictionary()
"""The names of the statements that each connection has prepared; unknown of one that is not in here."""


@dataclass(frozen=True)
class Statement:
    """SQL with Postgres' own placeholders, `$1` and on; called with their values it can be sent."""

    text: str

    @cached_property
    def name(self) -> bytes:
        """Under which it is prepared: the same text, the same name."""
        return b"tallystick_" + hashlib.sha256(self.text.encode()).hexdigest()[:32].encode()

    def __call__(self, *values: Any) -> "BoundStatement":
        """With its values: strings, whole numbers, moments, bytes, None, and lists of strings or bytes."""
        return BoundStatement(self, values)


class BoundStatement(NamedTuple):
    """A statement and its values."""

    statement: Statement
    values: tuple[Any, ...]


class StatementResult(NamedTuple):
    """What became of a statement."""

    rows: list[tuple[Any, ...]]
    changed: int
    """How many rows it changed, or read."""


@cache
def in_schema(schema: str, text: str) -> Statement:
    """A statement in which `{schema}` stands for one service's schema."""
    return Statement(text.format(schema=schema))


BEGIN = Statement("BEGIN")()
COMMIT = Statement("COMMIT")()
ROLLBACK = Statement("ROLLBACK")()
STILL_PREPARED = "SELECT name FROM pg_prepared_statements WHERE name LIKE 'tallystick%'"


async def send(driver: Driver, *bound: BoundStatement) -> list[StatementResult]:
    """Run statements in their order, in the connection's transaction; begins one where there has to be one.

    Raises the error of the first that fails, as psycopg would; those after it are not run.
    """
    if driver not in _prepared:
        await _look_what_is_prepared(driver)
    async with driver.lock:
        begins = driver.pgconn.transaction_status == TransactionStatus.IDLE and not driver.autocommit
        try:
            results = await driver.wait(_exchange(driver, [BEGIN, *bound] if begins else bound))
        finally:
            if driver.pgconn.pipeline_status != PipelineStatus.OFF:
                driver.pgconn.finish()  # nobody can tell what else would come
    return [_answered(driver, result) for result in (results[1:] if begins else results)]


async def roll_back(driver: Driver) -> None:
    """Undo the connection's transaction, if there is one."""
    if driver.pgconn.transaction_status != TransactionStatus.IDLE:
        await send(driver, ROLLBACK)


def forget_prepared(driver: Driver) -> None:
    """Say that psycopg's own `rollback` is used: it may have the server forget all that is prepared."""
    _prepared.pop(driver, None)


async def _look_what_is_prepared(driver: Driver) -> None:
    cursor = await driver.execute(STILL_PREPARED, prepare=False)
    _prepared[driver] = {row[0].encode() for row in await cursor.fetchall()}


def _exchange(driver: Driver, bound: Sequence[BoundStatement]) -> PQGen[list[PGresult]]:
    """Send everything, then read everything; a generator of the kind that psycopg waits for."""
    connection, known = driver.pgconn, _prepared[driver]
    # Before anything is sent: what cannot be written must not leave half a message behind.
    written = [[_written(driver, value) for value in values] for _, values in bound]
    results_of: list[bytes | None] = []
    """What the results are of, as they come: a preparation under this name, or a statement."""
    connection.enter_pipeline_mode()
    for (statement, _), parameters in zip(bound, written, strict=True):
        if statement.name not in known and statement.name not in results_of:
            connection.send_prepare(statement.name, statement.text.encode())
            results_of.append(statement.name)
        values, formats = [value for value, _ in parameters], [form for _, form in parameters]
        connection.send_query_prepared(statement.name, values, formats, Format.BINARY)
        results_of.append(None)
    connection.pipeline_sync()
    while connection.flush():
        yield WAIT_RW
        connection.consume_input()
    results = yield from _results(connection)
    connection.exit_pipeline_mode()
    for name, result in zip(results_of, results, strict=True):
        if result.status == ExecStatus.FATAL_ERROR:
            raise errors.error_from_result(result, driver.info.encoding)
        if name is not None:
            known.add(name)
    return [result for name, result in zip(results_of, results, strict=True) if name is None]


def _results(connection: PGconn) -> PQGen[list[PGresult]]:
    """What comes back, up to the end of the pipeline; after an error, one for each that was not run."""
    results: list[PGresult] = []
    while True:
        while connection.is_busy():
            yield WAIT_R
            connection.consume_input()
        result = connection.get_result()
        if result is None:
            continue
        if result.status == ExecStatus.PIPELINE_SYNC:
            return results
        results.append(result)


def _written(driver: Driver, value: Any) -> tuple[Any, Format]:
    """A value as Postgres reads it; as text it takes any type that the statement says."""
    if isinstance(value, list):
        dumping = Transformer(driver)
        (written,) = dumping.dump_sequence([value], [PyFormat.BINARY])
        return written, dumping.formats[0] if dumping.formats else Format.TEXT
    if value is None or isinstance(value, bytes):
        return value, Format.BINARY
    return (value.isoformat() if isinstance(value, datetime) else str(value)).encode(), Format.TEXT


def _answered(driver: Driver, result: PGresult) -> StatementResult:
    rows: list[tuple[Any, ...]] = []
    if result.status == ExecStatus.TUPLES_OK and result.ntuples:
        loading = Transformer(driver)
        loading.set_pgresult(result)
        rows = loading.load_rows(0, result.ntuples, tuple)
    return StatementResult(rows, result.command_tuples or 0)
