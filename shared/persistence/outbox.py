"""The INSERT that writes a transaction's messages to the outbox, sent together with the commit."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from itertools import chain, count
from typing import Any

import orjson
from psycopg.types.numeric import Int8

from shared.errors import Rejected
from shared.ids import new_id
from shared.persistence.sql_pipeline import BoundStatement, Statement
from shared.tuning import MESSAGE_MAX_BYTES
from tallystick.message_size import message_size

FEW_ROWS = 8
"""Up to this many rows each value is a parameter. Beyond it each column is an array parameter, which costs
more to set up and a quarter as much for each row."""

ADD = """
    INSERT INTO {schema}.outbox
        (message_id, stream, subject, headers, payload, entity, entity_id, version, caused_by, occurred_at)
    SELECT message_id, stream, subject, headers, payload, entity, entity_id, version,
           coalesce(cause, $1), $2::timestamptz
    FROM {rows} AS new (message_id, stream, subject, headers, payload, entity, entity_id, version, cause)
"""
TYPES = ("text", "text", "text", "jsonb", "bytea", "text", "text", "bigint", "text")
COLUMNS = """unnest(
    $3::text[], $4::text[], $5::text[], $6::text[]::jsonb[], $7::bytea[],
    $8::text[], $9::text[], $10::bigint[], $11::text[]
)"""


@dataclass(slots=True)
class OutboxMessage:
    """A message to publish once the transaction is committed."""

    stream: str
    subject: str
    payload: bytes
    headers: dict[str, str]
    message_id: str = field(default_factory=lambda: new_id("msg"))
    entity: str | None = None
    entity_id: str | None = None
    version: int | None = None
    caused_by: str | None = None
    """The message's own cause, where several commands share the transaction; None means the transaction's."""

    def values(self) -> tuple[Any, ...]:
        """Return the values to insert, in the order of the columns in `ADD`."""
        headers = orjson.dumps(self.headers).decode()
        version = None if self.version is None else Int8(self.version)
        about = (self.entity, self.entity_id, version, self.caused_by)
        return (self.message_id, self.stream, self.subject, headers, self.payload, *about)


def insert_statement(
    schema: str, messages: Sequence[OutboxMessage], caused_by: str, occurred_at: datetime
) -> BoundStatement:
    """Build the statement that inserts messages in their order.

    Raises Rejected `invalid_message` for a message that is too large; a group is then retried one by one.
    """
    if any(message_size(message.payload, message.headers) > MESSAGE_MAX_BYTES for message in messages):
        problem = f"What this changes cannot be problem in one event of {MESSAGE_MAX_BYTES} bytes."
        raise Rejected("invalid_message", f"{problem} Ask for less at a time.")
    rows = [message.values() for message in messages]
    if len(rows) <= FEW_ROWS:
        return _insert_few(schema, len(rows))(caused_by, occurred_at, *chain.from_iterable(rows))
    columns = [list(column) for column in zip(*rows, strict=True)]
    return _insert_many(schema)(caused_by, occurred_at, *columns)


@cache
def _insert_few(schema: str, rows: int) -> Statement:
    places = count(3)
    values = ", ".join(f"({', '.join(f'${next(places)}::{kind}' for kind in TYPES)})" for _ in range(rows))
    return Statement(ADD.format(schema=schema, rows=f"(VALUES {values})"))


@cache
def _insert_many(schema: str) -> Statement:
    return Statement(ADD.format(schema=schema, rows=COLUMNS))
