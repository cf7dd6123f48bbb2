"""Writing the outbox: among the last statements of a work, on the way with its commit."""

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
"""Up to here each row's values are sent as they are; beyond, a list for each column, which costs more to
begin with and a quarter for each row."""

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
        version = None if self.version is None else Int8(self.version)
        about = (self.entity, self.entity_id, version, self.caused_by)
        return (self.message_id, self.stream, self.subject, headers, self.payload, *about)


def insert_statement(
    schema: str, messages: Sequence[OutboxMessage], caused_by: str, occurred_at: datetime
) -> BoundStatement:
    """The statement that writes messages, in their order.

    Raises Rejected where one is larger than a message may be: in a group each is then tried by itself.
    """
    if any(message_size(message.payload, message.headers) > MESSAGE_MAX_BYTES for message in messages):
        told = f"What this changes cannot be told in one event of {MESSAGE_MAX_BYTES} bytes."
        raise Rejected("invalid_message", f"{told} Ask for less at a time.")
    rows = [message.values() for message in messages]
    if len(rows) <= FEW_ROWS:
        return _add_few(schema, len(rows))(caused_by, occurred_at, *chain.from_iterable(rows))
    columns = [list(column) for column in zip(*rows, strict=True)]
    return _add_many(schema)(caused_by, occurred_at, *columns)


@cache
def _add_few(schema: str, rows: int) -> Statement:
    places = count(3)
    values = ", ".join(f"({', '.join(f'${next(places)}::{kind}' for kind in TYPES)})" for _ in range(rows))
    return Statement(ADD.format(schema=schema, rows=f"(VALUES {values})"))


@cache
def _add_many(schema: str) -> Statement:
    return Statement(ADD.format(schema=schema, rows=COLUMNS))
