"""Services bound to a real database, without NATS in front: for tests of use cases."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
import psycopg
from psycopg.rows import dict_row
from sqlalchemy.ext.asyncio import AsyncEngine

from services.subscriptions.lifecycle.seat_quota import SeatQuota
from services.subscriptions.previews.units import UnitsPreviews
from shared.messaging.redelivery import Incoming
from shared.messaging.service import Service
from shared.messaging.service_runtime import Runtime
from shared.operations.provision import provision_database, role_name
from shared.persistence.database import make_engine
from shared.persistence.migrations import service_names
from tallystick.messages.base import Command, Event, Outcome, Question
from tallystick.subjects import CHANGE_FEED_STREAM, SERVICE_FEED_STREAM, Subjects
from tests.support.servers import PostgresServer, database_name, with_user

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
"""When a test happens unless it says otherwise."""
ROLE_PASSWORD = "role-of-the-tests"
_idle_engines: defaultdict[str, list[AsyncEngine]] = defaultdict(list)
"""Used again, without their connections, for a database that is: an engine remembers compiled statements."""


def make_template(postgres: PostgresServer) -> str:
    """The name of a database with every service's schema, to be copied by each test."""
    url = postgres.create_database()
    provision_database(url, dict.fromkeys(service_names(), ROLE_PASSWORD))
    return database_name(url)


def role_url(owner_url: str, service: str) -> str:
    """A service's own URL to the same database."""
    return with_user(owner_url, role_name(service), ROLE_PASSWORD)


@dataclass(slots=True)
class Bound:
    """A service bound to a database; `now` is the time at which messages arrive."""

    service: Service
    owner_url: str
    provided: Sequence[Any] = ()
    url: str = ""
    now: datetime = NOON
    engine: AsyncEngine = field(init=False)
    runtime: Runtime = field(init=False)
    _owner: psycopg.AsyncConnection[dict[str, Any]] | None = None

    def __post_init__(self) -> None:
        # Other services are not asked unless a test says so.
        self.provided = [SeatQuota(), UnitsPreviews(), *self.provided]
        self.url = self.url or role_url(self.owner_url, self.service.name)
        idle = _idle_engines.get(self.url)
        self.engine = idle.pop() if idle else make_engine(self.url, "test")
        self.runtime = Runtime.of(
            self.service,
            self.engine,
            subjects=Subjects(),
            provided=list(self.provided),
            wake_relay=lambda: None,
        )

    async def handle(self, message: Command[Any] | Question[Any], now: datetime | None = None) -> Outcome:
        """Handle a command or question and return its outcome."""
        return await self.handle_body(message.name, message.model_dump_json().encode(), now)

    async def handle_body(self, name: str, body: bytes, now: datetime | None = None) -> Outcome:
        """Handle a raw body, which may be invalid."""
        return await self.runtime.request(self.service.handlers[name], body, now or self.now)

    async def tick(self, job: str, at: datetime) -> None:
        """Run a job as a tick would."""
        body = orjson.dumps({"at": at})
        incoming = Incoming(f"billing.ticks.{self.service.name}.{job}", {}, body, 1, at, "BILLING_TICKS")
        await self.runtime.tick(self.service.jobs[job], incoming)

    async def follow(
        self,
        consumer: str,
        subject: str,
        body: bytes,
        *,
        attempt: int = 1,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Deliver a message to the handler of a durable consumer; raises what the handler raises."""
        follower = next(one for one in self.service.stream_consumers if one.consumer == consumer)
        incoming = Incoming(subject, headers or {}, body, attempt, self.now, follower.stream)
        await self.runtime.follow(follower, incoming)

    async def hears(self, event: Event, name: str = "changed") -> None:
        """Deliver an event of the feed to its handler; raises what the handler raises."""
        token = event.customer.token if event.customer else event.platform_token
        subject = Subjects().event(event.entity, token, name, event.schema_version)
        body = event.model_dump_json().encode()
        await self.runtime.feed_consumer.consume(
            Incoming(subject, {}, body, 1, self.now, SERVICE_FEED_STREAM)
        )

    async def outbox(self, stream: str | None = None) -> list[dict[str, Any]]:
        """The outbox rows so far, in their order; `payload` as bytes."""
        rows = await self.rows(f"SELECT * FROM {self.service.schema}.outbox ORDER BY id")
        return [row for row in rows if stream in (None, row["stream"])]

    async def feed(self) -> list[tuple[str, dict[str, Any]]]:
        """The change-feed events so far: (subject, body)."""
        return [
            (row["subject"], orjson.loads(row["payload"])) for row in await self.outbox(CHANGE_FEED_STREAM)
        ]

    async def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """Run a query as the owner of the database."""
        return await (await (await self._as_owner()).execute(query, values)).fetchall()

    async def execute(self, script: str) -> None:
        """Run statements as the owner of the database."""
        await (await self._as_owner()).execute(script)

    async def close(self) -> None:
        """Give the connections back."""
        if self._owner is not None:
            await self._owner.close()
        await self.engine.dispose()
        _idle_engines[self.url].append(self.engine)

    async def _as_owner(self) -> psycopg.AsyncConnection[dict[str, Any]]:
        if self._owner is None or self._owner.closed:
            self._owner = await psycopg.AsyncConnection.connect(
                self.owner_url, row_factory=dict_row, autocommit=True
            )
        return self._owner
