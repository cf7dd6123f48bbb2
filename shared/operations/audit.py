"""Checks live data against the invariants of the services. Run as `python -m shared.operations.audit`.

Each invariant is a small class with a sentence for a name. The plumbing's are here; a service adds its own in
`services/<name>/invariants.py`, in a tuple called INVARIANTS.
"""

import asyncio
import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg
from nats.aio.client import Client
from psycopg.rows import dict_row

from shared.messaging.nats_connection import connect
from shared.operations.audit_feed import FeedContents, read_feed
from shared.persistence.migrations import ROOT, service_names
from shared.settings import Settings
from tallystick.subjects import Subjects

PENDING_MAX_SECONDS = 10
"""How long a committed event may wait for its publication before something is wrong."""
UNFINISHED_MAX_SECONDS = 600
"""How long an external command may be without its outcome: several rounds of the sweep."""
SHOWN_VIOLATIONS = 20
"""Of one invariant; more of the same teach nothing. The queries' LIMIT is the same number."""


@dataclass(slots=True)
class LiveSystem:
    """The running system, as its owner sees it."""

    database: psycopg.AsyncConnection[dict[str, Any]]
    nats: Client
    subjects: Subjects
    schemas: Sequence[str] = ()
    """Those of the services: their outboxes hold all that may be on the feed."""
    read: FeedContents | None = None
    """What is on the change feed; filled when first needed."""

    async def feed(self) -> FeedContents:
        """What is on the change feed, held against the outboxes; read once."""
        if self.read is None:
            self.read = await read_feed(self.nats, self.database, self.subjects, self.schemas)
        return self.read

    async def rows(self, schema: str, query: str, *values: Any) -> list[dict[str, Any]]:
        """The rows of a query about one service's tables; the query names them as `{schema}.table`."""
        return await (await self.database.execute(query.format(schema=schema), values)).fetchall()


class Invariant(Protocol):
    """Something that always holds."""

    @property
    def name(self) -> str:
        """What holds, in a few words."""
        ...

    async def violations(self, live: LiveSystem) -> Sequence[str]:
        """Where it does not hold; empty when all is well."""
        ...


@dataclass(frozen=True, slots=True)
class EveryEventIsPublished:
    """What is committed is on its way within seconds."""

    schema: str
    name: str = "committed messages are published"

    async def violations(self, live: LiveSystem) -> Sequence[str]:
        """Rows that no snapshot of the relay's has covered for too long."""
        rows = await live.rows(
            self.schema,
            """SELECT outbox.id, outbox.subject, outbox.recorded_at
                FROM {schema}.outbox, {schema}.relay_position AS position
                WHERE outbox.xid >= pg_snapshot_xmin(position.published)
                  AND NOT pg_visible_in_snapshot(outbox.xid, position.published)
                  AND outbox.recorded_at < now() - make_interval(secs => %s)
                ORDER BY outbox.id LIMIT 20""",
            PENDING_MAX_SECONDS,
        )
        return [
            f"outbox row {row['id']} for {row['subject']} waits since {row['recorded_at']}" for row in rows
        ]


@dataclass(frozen=True, slots=True)
class VersionsHaveNoGaps:
    """The versions of an entity count from 1, each once; or from where the kept rows begin."""

    schema: str
    name: str = "versions count from 1 without gaps"

    async def violations(self, live: LiveSystem) -> Sequence[str]:
        """Entities whose number of events is not their last version."""
        rows = await live.rows(
            self.schema,
            """SELECT entity, entity_id, count(*) AS events, min(version) AS first,
                       max(version) AS last
                FROM {schema}.outbox WHERE entity IS NOT NULL GROUP BY entity, entity_id
                HAVING max(version) - min(version) + 1 <> count(*) OR (min(version) <> 1 AND NOT EXISTS (
                    SELECT FROM {schema}.partitions
                    WHERE table_name = 'outbox' AND dropped_at IS NOT NULL))
                LIMIT 20""",
        )
        said = "{entity} {entity_id}: {events} events, versions {first} to {last}"
        return [said.format(**row) for row in rows]


@dataclass(frozen=True, slots=True)
class FeedHasEveryVersionInOrder:
    """Each entity's changes are on the feed, all of them, in sequence."""

    schema: str
    name: str = "the feed tells all of each entity's changes in sequence"

    async def violations(self, live: LiveSystem) -> Sequence[str]:
        """Entities whose versions on the feed are not those of the outbox, in their order."""
        feed = await live.feed()
        rows = await live.rows(
            self.schema,
            """SELECT entity, entity_id, max(version) AS last
                FROM {schema}.outbox, {schema}.relay_position AS position
                WHERE entity IS NOT NULL AND pg_visible_in_snapshot(outbox.xid, position.published)
                GROUP BY entity, entity_id""",
        )
        found = []
        for row in rows:
            told = feed.versions.get(row["entity"], {}).get(row["entity_id"], [])
            # What the stream dropped by age is missing at the beginning; what it has twice comes later.
            newest: list[int] = []
            for version in told:
                if not newest or version > newest[-1]:
                    newest.append(version)
            if not newest or newest != list(range(newest[0], row["last"] + 1)):
                said = "{entity} {entity_id} at version {last}: the feed tells {told}"
                found.append(said.format(told=told[-10:], **row))
        return found


@dataclass(frozen=True, slots=True)
class FeedHasOnlyOutboxMessages:
    """Every message on the feed is in the outbox of a service, just as it is."""

    name: str = "every message on the feed was written by a service"

    async def violations(self, live: LiveSystem) -> Sequence[str]:
        """Messages that are in no outbox, or not as they are there."""
        return (await live.feed()).not_ours


@dataclass(frozen=True, slots=True)
class EveryCommandHasItsOutcome:
    """A command that was taken up is finished."""

    schema: str
    name: str = "no command is left without its outcome"

    async def violations(self, live: LiveSystem) -> Sequence[str]:
        """Commands that were taken up long ago and are neither done nor refused."""
        rows = await live.rows(
            self.schema,
            """SELECT command_id, name, received_at FROM {schema}.inbox
                WHERE outcome IS NULL AND received_at < now() - make_interval(secs => %s)
                ORDER BY received_at LIMIT 20""",
            UNFINISHED_MAX_SECONDS,
        )
        return [f"{row['name']} {row['command_id']} since {row['received_at']}" for row in rows]


def invariants() -> list[tuple[str, Invariant]]:
    """All invariants, with the service each belongs to."""
    found: list[tuple[str, Invariant]] = [("change feed", FeedHasOnlyOutboxMessages())]
    for service in service_names():
        found.append((service, EveryEventIsPublished(service)))
        found.append((service, VersionsHaveNoGaps(service)))
        found.append((service, FeedHasEveryVersionInOrder(service)))
        found.append((service, EveryCommandHasItsOutcome(service)))
        if (ROOT / "services" / service / "invariants.py").exists():
            own = importlib.import_module(f"services.{service}.invariants").INVARIANTS
            found += [(service, invariant) for invariant in own]
    return found


async def audit(database_url: str, nats_url: str, *, prefix: str) -> dict[str, list[str]]:
    """The violations by invariant; all lists are empty when all is well."""
    connection = await psycopg.AsyncConnection.connect(database_url, autocommit=True, row_factory=dict_row)
    nats = await connect(nats_url, "audit")
    try:
        live = LiveSystem(connection, nats, Subjects(prefix), service_names())
        return {f"{service}: {one.name}": list(await one.violations(live)) for service, one in invariants()}
    finally:
        await nats.close()
        await connection.close()


def main() -> None:
    """Audit what the environment names, print what was found, exit with 1 if anything is wrong."""
    settings = Settings()
    found = asyncio.run(
        audit(
            settings.database_url.get_secret_value(),
            os.environ.get("NATS_ADMIN_URL", settings.nats_url.get_secret_value()),
            prefix=settings.subject_prefix,
        )
    )
    for name, violations in found.items():
        print(f"{'✗' if violations else '✓'} {name}")
        for violation in violations[:SHOWN_VIOLATIONS]:
            print(f"    {violation}")
    broken = sum(bool(violations) for violations in found.values())
    print(
        f"{len(found)} invariants hold." if not broken else f"{broken} of {len(found)} invariants are broken."
    )
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
