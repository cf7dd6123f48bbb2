"""A worker's connection pool to Postgres, and the errors that mean the database is away or may be retried."""

from typing import Any

import orjson
import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from shared.errors import ConcurrentDuplicate
from shared.persistence.sql_pipeline import forget_prepared
from shared.settings import sqlalchemy_url
from shared.tuning import (
    DATABASE_CONNECT_TIMEOUT_SECONDS,
    DATABASE_CONNECTIONS,
    DATABASE_POOL_TIMEOUT_SECONDS,
    DATABASE_STATEMENT_TIMEOUT_SECONDS,
)

PLANNING = "-c random_page_cost=1.1 -c enable_seqscan=off"
"""Planner settings: random pages cost about as much as sequential ones, and no table is scanned whole.

Prepared statements keep their plan. By default Postgres would go on scanning a table that was empty when the
statement was planned, until the next ANALYZE: 6 ms for every command while a new inbox grows.
"""
RETRIED_SQLSTATES = frozenset({"40001", "40P01"})
"""Serialization failure and deadlock: the same transaction succeeds when it is retried."""


def make_engine(database_url: str, application: str) -> AsyncEngine:
    """Create the worker's engine; `application` is its name in `pg_stat_activity`."""
    engine = create_async_engine(
        sqlalchemy_url(database_url),
        pool_size=DATABASE_CONNECTIONS,
        max_overflow=0,
        pool_use_lifo=True,  # the connection used last is the warm one
        pool_timeout=DATABASE_POOL_TIMEOUT_SECONDS,
        # Without a ping: a dead connection fails its first statement, and the whole pool is then disposed.
        pool_pre_ping=False,
        # Every transaction is committed or rolled back by the code that began it.
        pool_reset_on_return=None,
        isolation_level="READ COMMITTED",
        json_serializer=_dump_json,
        json_deserializer=orjson.loads,
        connect_args={
            "connect_timeout": DATABASE_CONNECT_TIMEOUT_SECONDS,
            "application_name": application,
            "options": (
                f"-c statement_timeout={DATABASE_STATEMENT_TIMEOUT_SECONDS}s "
                f"-c idle_in_transaction_session_timeout={DATABASE_STATEMENT_TIMEOUT_SECONDS}s "
                f"-c timezone=UTC {PLANNING}"
            ),
        },
    )
    sa.event.listen(engine.sync_engine, "rollback", _on_rollback)
    return engine


def _on_rollback(connection: sa.Connection) -> None:
    driver = connection.connection.driver_connection
    if isinstance(driver, psycopg.AsyncConnection):
        forget_prepared(driver)


def is_database_away(error: BaseException) -> bool:
    """Whether an error means that the database cannot be reached, not that it was used wrongly."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    if isinstance(error, PoolTimeoutError | InterfaceError | psycopg.InterfaceError):
        return True
    return isinstance(error, OperationalError | psycopg.OperationalError) and not is_conflict(error)


def is_conflict(error: BaseException) -> bool:
    """Whether the same transaction may be retried: a deadlock, a serialization failure or a duplicate."""
    if isinstance(error, ConcurrentDuplicate):
        return True
    cause = error.orig if isinstance(error, DBAPIError) else error
    return isinstance(cause, psycopg.Error) and cause.sqlstate in RETRIED_SQLSTATES


def _dump_json(value: Any) -> str:
    return orjson.dumps(value).decode()
