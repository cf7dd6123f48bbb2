"""The audit: checks live data against invariants. Run as `python -m shared.operations.audit`.

Each invariant is a small class. The plumbing's are here; a service has its own in the tuple INVARIANTS of
`services/<name>/invariants.py`.
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
"""How long a committed event may wait for its publication before it is a violation."""
UNFINISHED_MAX_SECONDS = 600
"""How long an external command may be without an outcome: several rounds of the sweep."""
SHOWN_VIOLATIONS = 20
"""Violations of one invariant that are printed. The queries' LIMIT is the same number."""


@dataclass(slots=True)
class LiveSystem:
    """The running system: connections as the database's owner and as NATS' admin."""

    database: psycopg.AsyncConnection[dict[str, Any]]
    nats: Client
    subjects: Subjects
    schemas: Sequence[str] = ()
    """The schemas of the services, whose outboxes hold every message that may be on the feed."""
    contents: FeedContents | None = None
    """The contents of the change feed; read at the first use."""

    async def feed(self) -> FeedContents:
        """Read the change feed and compare it with the outboxes; read once."""
        if self.contents is None:
            self.contents = await read_feed(self.nats, self.database, self.subjects, self.schemas)
        return self.contents

    async def rows(self, schema: str, query: str, *values: Any) -> list[dict[str, Any]]:
        """Run a query on one service's tables, which it names as `{schema}.table`."""
        return await (await self.database.execute(query.format(schema=schema), values)).fetchall()


class Invariant(Protocol):
    """A condition that always holds."""

    @property
    def name(self) -> str:
        """The condition, in a few words."""
        ...

    async def violations(self, live: LiveSystem) -> Sequence[str]:
        """Find where it does not hold; empty when there is no violation."""
        ...


@dataclass(frozen=True, slots=True)
class EveryEventIsPublished:
    """Committed messages are published within seconds."""

    schema: str
    name: str = "committed messages are published"

    async def violations(self, live: LiveSystem) -> Sequence[str]:
        """Find rows that the relay has not published in time."""
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
    """The versions of an entity count from 1 without gaps, or from the oldest row that is kept."""

    schema: str
    name: str = "versions count from 1 without gaps"

    async def violations(self, live: LiveSystem) -> Sequence[str]:
        """Find entities whose number of events does not match their versions."""
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
        violation = "{entity} {entity_id}: {events} events, versions {first} to {last}"
        return [violation.format(**row) for row in rows]


@dataclass(frozen=True, slots=True)
class FeedHasEveryVersionInOrder:
    """All versions of each entity are on the feed, in order."""

    schema: str
    name: str = "the feed tells all of each entity's changes in sequence"

    async def violations(self, live: LiveSystem) -> Sequence[str]:
        """Find entities whose versions on the feed differ from those in the outbox."""
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
            published = feed.versions.get(row["entity"], {}).get(row["entity_id"], [])
            # Messages dropped by age are missing at the beginning; duplicates come later.
            newest: list[int] = []
            for version in published:
                if not newest or version > newest[-1]:
                    newest.append(version)
            if not newest or newest != list(range(newest[0], row["last"] + 1)):
                violation = "{entity} {entity_id} at version {last}: the feed tells {published}"
                found.append(violation.format(published=published[-10:], **row))
        return found


@dataclass(frozen=True, slots=True)
class FeedHasOnlyOutboxMessages:
    """Every message on the feed is in the outbox of a service, with the same contents."""

    name: str = "every message on the feed was written by a service"

    async def violations(self, live: LiveSystem) -> Sequence[str]:
        """Find messages that are in no outbox, or differ from their row there."""
        return (await live.feed()).not_ours


@dataclass(frozen=True, slots=True)
class EveryCommandHasItsOutcome:
    """Every command that was started has an outcome."""

    schema: str
    name: str = "no command is left without its outcome"

    async def violations(self, live: LiveSystem) -> Sequence[str]:
        """Find commands that were received long ago and have no outcome."""
        rows = await live.rows(
            self.schema,
            """SELECT command_id, name, received_at FROM {schema}.inbox
                WHERE outcome IS NULL AND received_at < now() - make_interval(secs => %s)
                ORDER BY received_at LIMIT 20""",
            UNFINISHED_MAX_SECONDS,
        )
        return [f"{row['name']} {row['command_id']} since {row['received_at']}" for row in rows]


def invariants() -> list[tuple[str, Invariant]]:
    """List all invariants, each with its service."""
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
    """Check all invariants and return the violations by invariant."""
    connection = await psycopg.AsyncConnection.connect(database_url, autocommit=True, row_factory=dict_row)
    nats = await connect(nats_url, "audit")
    try:
        live = LiveSystem(connection, nats, Subjects(prefix), service_names())
        return {f"{service}: {one.name}": list(await one.violations(live)) for service, one in invariants()}
    finally:
        await nats.close()
        await connection.close()


def main() -> None:
    """Audit the installation that the environment names; exit with 1 if there are violations."""
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
