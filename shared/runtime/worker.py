"""A worker: one service's handlers, its relay and its sweep, with an HTTP server for health and metrics."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic, TypeVar

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.applications import Starlette
from starlette.routing import Route

from shared.clock import utc_now
from shared.messaging.answers import Answers
from shared.messaging.dead_letters import dead_letter_store
from shared.messaging.jetstream_consumers import JetStreamConsumers
from shared.messaging.nats_connection import as_user, connect, inbox_prefix, make_broker
from shared.messaging.redelivery import Delivery
from shared.messaging.relay import Relay
from shared.messaging.request_server import RequestServer
from shared.messaging.service import Service
from shared.messaging.service_runtime import Runtime
from shared.observability.metrics import UNFINISHED
from shared.persistence.database import make_engine
from shared.persistence.partitions import maintain_partitions
from shared.runtime.health import Health, health_routes
from shared.runtime.process import prepare
from shared.settings import Settings
from shared.tuning import (
    EXTERNAL_SWEEP_BATCH,
    EXTERNAL_SWEEP_SECONDS,
    EXTERNAL_UNFINISHED_AFTER_SECONDS,
    PARTITION_MAINTENANCE_SECONDS,
    START_RETRY_SECONDS,
)
from tallystick.subjects import Subjects
from tallystick.tasks import end

log = structlog.get_logger()

OwnSettings = TypeVar("OwnSettings", bound=Settings)
"""A service's settings: `shared.settings.Settings`, or its own class that extends it."""


@dataclass(slots=True)
class Worker(Generic[OwnSettings]):
    """One service's handlers, consumers, relay and periodic tasks."""

    service: Service
    settings: OwnSettings
    provide: Callable[[OwnSettings], list[Any]]
    routes: Callable[[Runtime, OwnSettings], list[Route]]
    background: Callable[[Runtime, OwnSettings], list[Coroutine[Any, Any, None]]] = lambda _, __: []
    engine: AsyncEngine = field(init=False)
    health: Health = field(init=False)
    relay: Relay = field(init=False)
    runtime: Runtime = field(init=False)
    answers: Answers = field(init=False)
    requests: RequestServer = field(init=False)
    consumers: JetStreamConsumers = field(init=False)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when NATS has closed a connection for good."""

    def __post_init__(self) -> None:
        name = self.service.name
        database_url = self.settings.database_url.get_secret_value()
        nats_url = self.settings.nats_url.get_secret_value()
        subjects = Subjects(self.settings.subject_prefix)
        relay_url = as_user(nats_url, name, f"{name}_relay")
        self.engine = make_engine(database_url, name)
        self.relay = Relay(
            schema=self.service.schema,
            database_url=database_url,
            connect_nats=lambda: connect(relay_url, f"{name}-relay"),
        )
        self.runtime = Runtime.of(
            self.service,
            self.engine,
            subjects=subjects,
            provided=self.provide(self.settings),
            wake_relay=self.relay.work_available.set,
        )
        self.answers = Answers()
        self.requests = RequestServer(self.runtime, subjects, self.answers)
        self.consumers = self._consumers()
        self.health = Health(name, self.engine, self.consumers, self.relay, self.requests)

    def _consumers(self) -> JetStreamConsumers:
        """Create the service's consumers on a connection of their own, not started yet."""
        name = self.service.name
        nats_url = self.settings.nats_url.get_secret_value()
        broker = make_broker(nats_url, name, self._on_closed)
        delivery = Delivery(name, dead_letter_store(broker, self.requests.subjects, name))
        consumers = JetStreamConsumers(broker, self.runtime, delivery, inbox_prefix(nats_url), self.answers)
        consumers.subscribe()
        return consumers

    def application(self) -> Starlette:
        """Build the ASGI application whose lifespan runs the worker."""
        own = self.routes(self.runtime, self.settings)
        # A worker with its own routes is reachable from outside.
        routes = [*own, *health_routes(self.health.problems, self.settings, is_public=bool(own))]
        return Starlette(routes=routes, lifespan=self._lifespan)

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        tasks = [
            asyncio.create_task(self._consume()),
            asyncio.create_task(self.relay.run()),
            asyncio.create_task(self._sweep()),
            asyncio.create_task(self._maintain_partitions()),
            *map(asyncio.create_task, self.background(self.runtime, self.settings)),
        ]
        try:
            yield
        finally:
            consuming, *others = tasks
            await end(consuming)  # a connection that is closed from here on is not opened again
            await asyncio.gather(self.consumers.stop(), self.requests.stop())
            await self.answers.close()
            await end(*others)
            for instance in self.runtime.provided.values():
                if hasattr(instance, "close"):
                    await instance.close()
            await self.engine.dispose()

    async def _consume(self) -> None:
        """Consume and answer until cancelled, over new connections after NATS has closed one for good.

        The client reconnects a lost connection. A server closes one for good when it rejects a message, for
        example one above its limits, and the client does not reconnect then.
        """
        while True:
            self.closed.clear()
            await self._start_consuming()
            await self.closed.wait()
            log.error("NATS closed a connection, opening new ones")
            self.health.started = False
            await self._close_connections()
            self.health.consumers = self.consumers = self._consumers()
            await asyncio.sleep(START_RETRY_SECONDS)  # in case a message closes every new connection

    async def _close_connections(self) -> None:
        """Close the connections that are still open, ignoring errors."""
        for close in (self.consumers.stop, self.requests.close_connection, self.answers.close):
            with contextlib.suppress(Exception):
                await close()

    async def _start_consuming(self) -> None:
        nats_url = self.settings.nats_url.get_secret_value()
        name = self.service.name
        answers_url = as_user(nats_url, name, f"{name}_answers")
        while True:
            try:
                self.answers.connection = await connect(answers_url, f"{name}-answers", self._on_closed)
                await self.consumers.start()
                await self.requests.start(await connect(nats_url, f"{name}-requests", self._on_closed))
            except Exception as error:  # noqa: BLE001 - retried until everything is there
                log.warning("cannot start consuming yet", error=str(error) or type(error).__name__)
                await self._close_connections()
                await asyncio.sleep(START_RETRY_SECONDS)
                self.closed.clear()  # set by closing them here
            else:
                # Everything loaded by now stays loaded: exclude it from garbage collection.
                gc.collect()
                gc.freeze()
                self.health.started = True
                log.info("consuming", durables=[durable.name for durable in self.consumers.durables])
                return

    async def _on_closed(self) -> None:
        self.closed.set()

    async def _sweep(self) -> None:
        """Finish external commands whose worker died between intent and result."""
        unfinished = UNFINISHED.labels(self.service.name)
        while True:
            await asyncio.sleep(EXTERNAL_SWEEP_SECONDS)
            with contextlib.suppress(Exception):
                now = utc_now()
                before = now - timedelta(seconds=EXTERNAL_UNFINISHED_AFTER_SECONDS)
                found = await self.runtime.unfinished(before, EXTERNAL_SWEEP_BATCH)
                unfinished.set(len(found))
                for handler, body in found:
                    await self.runtime.request(handler, body, now)

    async def _maintain_partitions(self) -> None:
        """Drop old partitions and open new ones when they are due."""
        while True:
            try:
                for change in await maintain_partitions(self.engine, self.service.schema):
                    log.info("partitions tended", change=change)
            except Exception as error:  # noqa: BLE001 - retried an hour later, which is early enough
                log.warning("partitions not tended", error=str(error))
            await asyncio.sleep(PARTITION_MAINTENANCE_SECONDS)


def make_worker(
    service: Service,
    settings: OwnSettings,
    *,
    provide: Callable[[OwnSettings], list[Any]] = lambda _: [],
    routes: Callable[[Runtime, OwnSettings], list[Route]] = lambda _, __: [],
    background: Callable[[Runtime, OwnSettings], list[Coroutine[Any, Any, None]]] = lambda _, __: [],
) -> Starlette:
    """Build a service's worker, with the logs and traces of its process.

    `background` are tasks of the service's own, which run until they are cancelled.
    """
    prepare(service.name, settings)
    return Worker(service, settings, provide, routes, background).application()
