"""Repairs the outbox after a dump was restored into another cluster, where transaction ids start again.

The ids in the outbox and in the relay's position would refer to future transactions. Provisioning checks this
each time, before any worker starts.
"""

from typing import Any

import psycopg
from psycopg import sql

PUBLISHED_XID = "3"
"""The first normal transaction id of a cluster; long past in every cluster."""
DUE_XID = "4"
POSITION = "4:4:"
"""The snapshot in which PUBLISHED_XID is visible and DUE_XID is not."""

AHEAD = """
    SELECT pg_snapshot_xmax(published) > pg_snapshot_xmax(pg_current_snapshot())
           OR (SELECT max(xid) FROM {schema}.outbox) >= pg_snapshot_xmax(pg_current_snapshot())
    FROM {schema}.relay_position
"""

RENUMBER = """
    UPDATE {schema}.outbox SET xid =
        CASE WHEN pg_visible_in_snapshot(xid, position.published)
                  OR (id <= position.part_after_id AND pg_visible_in_snapshot(xid, position.part_of))
             THEN {published}::xid8 ELSE {due}::xid8 END
    FROM {schema}.relay_position AS position
"""

RESET = "UPDATE {schema}.relay_position SET published = {position}, part_of = NULL, part_after_id = 0"


def is_outbox_ahead(connection: psycopg.Connection[Any], schema: str) -> bool:
    """Whether a service's outbox has transaction ids that this cluster has not assigned yet."""
    found = connection.execute(sql.SQL(AHEAD).format(schema=sql.Identifier(schema))).fetchone()
    return bool(found and found[0])


def renumber_after_restore(connection: psycopg.Connection[Any], schema: str) -> bool:
    """Renumber the transactions of published and due rows if that is needed; return whether it was.

    Rows that were published before the dump are not published again. To be called as the owner, before
    workers write.
    """
    named = {"schema": sql.Identifier(schema)}
    connection.execute(sql.SQL("LOCK TABLE {schema}.outbox, {schema}.relay_position").format(**named))
    if not is_outbox_ahead(connection, schema):
        return False
    published, due = sql.Literal(PUBLISHED_XID), sql.Literal(DUE_XID)
    connection.execute(sql.SQL(RENUMBER).format(published=published, due=due, **named))
    connection.execute(sql.SQL(RESET).format(position=sql.Literal(POSITION), **named))
    return True
