"""Writing the outbox: the last statement of a work, and with it the row that makes the work count at all."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import Any

import orjson
import psycopg

from shared.ids import new_id

Driver = psycopg.AsyncConnection[tuple[Any, ...]]
"""A connection below SQLAlchemy; a statement takes a quarter of the time there."""

FEW_ROWS = 8
"""Up to here each row's values are sent as they are; beyond, a list for each column, which costs more to
begin with and a quarter for each row."""

ADD = """
    INSERT INTO {schema}.outbox
        (message_id, stream, subject, headers, payload, entity, entity_id, version, caused_by, occurred_at)
    SELECT message_id, stream, subject, headers, payload, entity, entity_id, version, coalesce(cause, %s), %s
    FROM {rows} AS new (message_id, stream, subject, headers, payload, entity, entity_id, version, cause)
"""
IF_CLAIMED = "WITH claimed AS ({claim} RETURNING 1) {add} WHERE EXISTS (SELECT FROM claimed)"
ROW = "(%s::text, %s::text, %s::text, %s::jsonb, %s::bytea, %s::text, %s::text, %s::bigint, %s::text)"
COLUMNS = """unnest(
    %b::text[], %b::text[], %b::text[], %b::text[]::jsonb[], %b::bytea[],
    %b::text[], %b::text[], %b::bigint[], %b::text[]
)"""


@dataclass(slots=True)
class OutboxMessage:
    """A message that is published once the work is committed."""

    stream: str
    subject: str
    payload: bytes
    headers: dict[str, str]
    message_id: str = field(default_factory=lambda: new_id("msg"))
    entity: str | None = None
    entity_id: str | None = None
    version: int | None = None
    caused_by: str | None = None
    """Where it is not what the whole work is caused by: one of several commands handled together."""

    def values(self) -> tuple[Any, ...]:
        """What is stored of it, in the order of the columns in `ADD`."""
        headers = orjson.dumps(self.headers).decode()
        about = (self.entity, self.entity_id, self.version, self.caused_by)
        return (self.message_id, self.stream, self.subject, headers, self.payload, *about)


@dataclass(frozen=True, slots=True)
class Claim:
    """A row that must be new: where it is there already, nothing of the work may take effect."""

    statement: str
    """An INSERT … ON CONFLICT DO NOTHING of the one row."""
    values: tuple[Any, ...]
    was_taken: Callable[[], Awaitable[None]]
    """Called where it was there already; raises what the work ends with."""


async def write(
    driver: Driver,
    schema: str,
    messages: Sequence[OutboxMessage],
    *,
    caused_by: str,
    occurred_at: datetime,
    claim: Claim | None = None,
) -> None:
    """Write a work's messages, in their order, together with its claim."""
    if not messages and claim is None:
        return
    statement, values = _adding(schema, messages, caused_by, occurred_at) if messages else ("", ())
    if claim is not None:
        values = claim.values + values
        statement = IF_CLAIMED.format(claim=claim.statement, add=statement) if messages else claim.statement
    cursor = await driver.execute(statement, values)
    if claim is not None and cursor.rowcount == 0:
        await claim.was_taken()


def _adding(
    schema: str, messages: Sequence[OutboxMessage], caused_by: str, occurred_at: datetime
) -> tuple[str, tuple[Any, ...]]:
    """The statement that adds messages, and its values."""
    if len(messages) <= FEW_ROWS:
        rows = f"(VALUES {', '.join([ROW] * len(messages))})"
        values = list(chain.from_iterable(message.values() for message in messages))
    else:
        columns = zip(*(message.values() for message in messages), strict=True)
        rows, values = COLUMNS, [list(column) for column in columns]
    return ADD.format(schema=schema, rows=rows), (caused_by, occurred_at, *values)
