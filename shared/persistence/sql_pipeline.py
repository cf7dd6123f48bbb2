"""Pipelined SQL: several statements in one round trip to Postgres, each prepared once for a connection.

With one caller waiting, a worker spends more time on sending a statement than Postgres spends on running it.
This uses psycopg's connection, waiting and type conversions, without a cursor and a round trip for each
statement.
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
"""A psycopg connection, below SQLAlchemy."""

_prepared: "WeakKeyDictionary[Driver, set[bytes]]" = WeakKeyDictionary()
"""The names of the statements that each connection has prepared. A connection that is missing here has to be
asked first."""


@dataclass(frozen=True)
class Statement:
    """SQL with Postgres' own placeholders, `$1`, `$2`, …; call it with values to bind them."""

    text: str

    @cached_property
    def name(self) -> bytes:
        """The name of the prepared statement, derived from its text."""
        return b"tallystick_" + hashlib.sha256(self.text.encode()).hexdigest()[:32].encode()

    def __call__(self, *values: Any) -> "BoundStatement":
        """Bind values: str, int, datetime, bytes, None, and lists of str or bytes."""
        return BoundStatement(self, values)


class BoundStatement(NamedTuple):
    """A statement and its values."""

    statement: Statement
    values: tuple[Any, ...]


class StatementResult(NamedTuple):
    """The result of one statement."""

    rows: list[tuple[Any, ...]]
    changed: int
    """How many rows it changed or returned."""


@cache
def in_schema(schema: str, text: str) -> Statement:
    """Return a statement with `{schema}` replaced by a service's schema."""
    return Statement(text.format(schema=schema))


BEGIN = Statement("BEGIN")()
COMMIT = Statement("COMMIT")()
ROLLBACK = Statement("ROLLBACK")()
STILL_PREPARED = "SELECT name FROM pg_prepared_statements WHERE name LIKE 'tallystick%'"


async def send(driver: Driver, *bound: BoundStatement) -> list[StatementResult]:
    """Run statements in their order in the connection's transaction, which is begun if there is none.

    Raises the error of the first statement that fails, as psycopg would; later ones are not run.
    """
    if driver not in _prepared:
        await _load_prepared(driver)
    async with driver.lock:
        begins = driver.pgconn.transaction_status == TransactionStatus.IDLE and not driver.autocommit
        try:
            results = await driver.wait(_exchange(driver, [BEGIN, *bound] if begins else bound))
        finally:
            if driver.pgconn.pipeline_status != PipelineStatus.OFF:
                driver.pgconn.finish()  # results of the broken pipeline may still arrive
    return [_statement_result(driver, result) for result in (results[1:] if begins else results)]


async def roll_back(driver: Driver) -> None:
    """Roll back the connection's transaction, if there is one."""
    if driver.pgconn.transaction_status != TransactionStatus.IDLE:
        await send(driver, ROLLBACK)


def forget_prepared(driver: Driver) -> None:
    """Forget a connection's prepared statements, because psycopg's own `rollback` may deallocate them."""
    _prepared.pop(driver, None)


async def _load_prepared(driver: Driver) -> None:
    cursor = await driver.execute(STILL_PREPARED, prepare=False)
    _prepared[driver] = {row[0].encode() for row in await cursor.fetchall()}


def _exchange(driver: Driver, bound: Sequence[BoundStatement]) -> PQGen[list[PGresult]]:
    """Send all statements, then read all results; a generator for psycopg's `wait`."""
    connection, known = driver.pgconn, _prepared[driver]
    # Encoded before anything is sent: a value that cannot be encoded must not leave half a message behind.
    encoded = [[_encoded(driver, value) for value in values] for _, values in bound]
    results_of: list[bytes | None] = []
    """For each result in order: the name of a statement that was prepared, or None for one that was run."""
    connection.enter_pipeline_mode()
    for (statement, _), parameters in zip(bound, encoded, strict=True):
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
    """Read results up to the end of the pipeline; after an error there is one for each statement not run."""
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


def _encoded(driver: Driver, value: Any) -> tuple[Any, Format]:
    """Encode a value for Postgres; as text it takes the type that the statement gives it."""
    if isinstance(value, list):
        dumping = Transformer(driver)
        (encoded,) = dumping.dump_sequence([value], [PyFormat.BINARY])
        return encoded, dumping.formats[0] if dumping.formats else Format.TEXT
    if value is None or isinstance(value, bytes):
        return value, Format.BINARY
    return (value.isoformat() if isinstance(value, datetime) else str(value)).encode(), Format.TEXT


def _statement_result(driver: Driver, result: PGresult) -> StatementResult:
    rows: list[tuple[Any, ...]] = []
    if result.status == ExecStatus.TUPLES_OK and result.ntuples:
        loading = Transformer(driver)
        loading.set_pgresult(result)
        rows = loading.load_rows(0, result.ntuples, tuple)
    return StatementResult(rows, result.command_tuples or 0)
