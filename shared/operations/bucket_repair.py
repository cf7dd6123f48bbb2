"""Removes keys from the buckets that no service has put there; `./dev replay` restores the services' keys."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.errors import APIError

from shared.operations.stored_messages import stored_messages
from shared.persistence.unit_of_work import KV_DELETE_HEADERS
from tallystick.client.entitlements import is_deletion
from tallystick.subjects import BALANCES_BUCKET, ENTITLEMENTS_BUCKET

BUCKETS = (ENTITLEMENTS_BUCKET, BALANCES_BUCKET)
EXPECTED_HEADER = "Nats-Expected-Last-Subject-Sequence"
"""With this header the server rejects a message if its subject has a newer one."""
NEWEST = """
    SELECT DISTINCT ON (subject) subject, headers ? 'KV-Operation' AS deleted FROM {schema}.outbox
    WHERE starts_with(stream, 'KV_') AND subject = ANY(%(subjects)s::text[])
    ORDER BY subject, id DESC
"""


@dataclass(slots=True)
class Removed:
    """The subjects of keys that no service has put, or that a service has deleted."""

    removed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    """Keys that changed meanwhile, or whose names are not valid for a client."""


async def remove_foreign_keys(
    connection: Client, database: psycopg.AsyncConnection[dict[str, Any]], schemas: Sequence[str]
) -> Removed:
    """Delete the keys that are in no outbox; needs the owner of the database and the NATS user `admin`."""
    found = Removed()
    for bucket in BUCKETS:
        async for batch in stored_messages(connection, f"KV_{bucket}", newest_only=True):
            # Looked up after reading: a key of a service is in its outbox before it is in the bucket.
            ours = await _put_by_a_service(database, schemas, [message.subject for message in batch])
            for message in batch:
                if message.subject not in ours and not is_deletion(message):
                    is_gone = await _delete(connection, message)
                    (found.removed if is_gone else found.left).append(message.subject)
    return found


async def _put_by_a_service(
    database: psycopg.AsyncConnection[dict[str, Any]], schemas: Sequence[str], subjects: list[str]
) -> set[str]:
    query = " UNION ALL ".join(f"({NEWEST.format(schema=schema)})" for schema in schemas)
    known = [subject for subject in subjects if "\0" not in subject]
    cursor = await database.execute(query, {"subjects": known})
    return {row["subject"] for row in await cursor.fetchall() if not row["deleted"]}


async def _delete(connection: Client, message: Msg) -> bool:
    headers = KV_DELETE_HEADERS | {EXPECTED_HEADER: str(message.metadata.sequence.stream)}
    try:
        await connection.jetstream().publish(message.subject, b"", headers=headers)
    except APIError:
        return False
    return True
