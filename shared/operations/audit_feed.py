"""Reads the change feed for the audit: the versions of each entity, and messages that are in no outbox."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import orjson
import psycopg
from nats.aio.client import Client
from nats.aio.msg import Msg

from shared.operations.stored_messages import stored_messages
from tallystick.messages.base import entity_id
from tallystick.subjects import CHANGE_FEED_STREAM, Subjects

NOT_OURS_MAX = 20
"""How many foreign messages are listed."""
SUBJECT_SHOWN_CHARACTERS = 200
VERSION_MAX = 2**63 - 1
"""The largest bigint of Postgres."""

_OUTBOX_ROWS = """
    SELECT entity, entity_id, version, subject, headers, payload FROM {schema}.outbox
    WHERE (entity, entity_id, version) IN (
        SELECT * FROM unnest(%(entities)s::text[], %(ids)s::text[], %(versions)s::bigint[]))
"""
_KEPT_SINCE = """
    SELECT min(opened_at) FILTER (WHERE dropped_at IS NULL) AS since FROM {schema}.partitions
    WHERE table_name = 'outbox' HAVING count(dropped_at) > 0
"""


class FeedMessage(NamedTuple):
    """The entity and version that a message of the feed is about."""

    entity: str
    entity_id: str
    version: int


@dataclass(slots=True)
class FeedContents:
    """The contents of the change feed."""

    versions: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    """Versions in the order of the feed, by entity and its id."""
    not_ours: list[str] = field(default_factory=list)
    """Descriptions of the messages that no service has written."""


async def read_feed(
    connection: Client,
    database: psycopg.AsyncConnection[dict[str, Any]],
    subjects: Subjects,
    schemas: Sequence[str],
) -> FeedContents:
    """Read the whole feed and compare each message with the outboxes of the services."""
    contents = FeedContents()
    kept_since = await _kept_since(database, schemas)
    async for batch in stored_messages(connection, CHANGE_FEED_STREAM):
        parsed = {message.metadata.sequence.stream: _parse(message, subjects) for message in batch}
        for one in parsed.values():
            if one is not None:
                contents.versions.setdefault(one.entity, {}).setdefault(one.entity_id, []).append(one.version)
        rows = await _outbox_rows(database, schemas, [one for one in parsed.values() if one is not None])
        for message in batch:
            one = parsed[message.metadata.sequence.stream]
            problem = "is no event" if one is None else _problem(message, rows.get(one), kept_since)
            if problem is not None and len(contents.not_ours) < NOT_OURS_MAX:
                where = f"{message.subject!r:.{SUBJECT_SHOWN_CHARACTERS}}"
                contents.not_ours.append(f"message {message.metadata.sequence.stream} on {where} {problem}")
    return contents


def _parse(message: Msg, subjects: Subjects) -> FeedMessage | None:
    """Parse a message of the feed; None if it is no event."""
    try:
        entity = subjects.parse_event(message.subject).entity
        event = orjson.loads(message.data)
        identified, version = entity_id(entity, event[entity]), event["version"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    # Values that Postgres cannot represent are in no outbox.
    if identified is None or "\0" in entity + identified or type(version) is not int:
        return None
    if not 0 < version <= VERSION_MAX:
        return None
    return FeedMessage(entity, identified, version)


def _problem(message: Msg, rows: list[dict[str, Any]] | None, kept_since: datetime | None) -> str | None:
    """Say why a message was not published by a service; None if it may have been."""
    if not rows:
        is_older = kept_since is not None and message.metadata.timestamp < kept_since
        return None if is_older else "is in no outbox"
    headers = message.headers or {}
    for row in rows:
        is_same = (row["subject"], row["payload"]) == (message.subject, message.data)
        if is_same and all(headers.get(name) == str(value) for name, value in row["headers"].items()):
            return None
    return "is not as the outbox has it"


async def _outbox_rows(
    database: psycopg.AsyncConnection[dict[str, Any]], schemas: Sequence[str], messages: list[FeedMessage]
) -> dict[FeedMessage, list[dict[str, Any]]]:
    """Find the outbox rows of messages: one each, unless two services claim the same entity."""
    if not messages or not schemas:
        return {}
    query = " UNION ALL ".join(_OUTBOX_ROWS.format(schema=schema) for schema in schemas)
    entities, ids, versions = (list(column) for column in zip(*messages, strict=True))
    cursor = await database.execute(query, {"entities": entities, "ids": ids, "versions": versions})
    rows: dict[FeedMessage, list[dict[str, Any]]] = {}
    for row in await cursor.fetchall():
        rows.setdefault(FeedMessage(row["entity"], row["entity_id"], row["version"]), []).append(row)
    return rows


async def _kept_since(
    database: psycopg.AsyncConnection[dict[str, Any]], schemas: Sequence[str]
) -> datetime | None:
    """Return the time before which messages may have been in a dropped partition of an outbox."""
    if not schemas:
        return None
    query = " UNION ALL ".join(_KEPT_SINCE.format(schema=schema) for schema in schemas)
    return max((row["since"] for row in await (await database.execute(query)).fetchall()), default=None)
