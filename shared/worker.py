"""A worker process: one service's handlers, its relay and its sweep.

Behind one small HTTP server for health and metrics.
"""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import structlog
from faststream.nats import NatsBroker
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from shared.broker import connect, inbox_prefix, make_broker
from shared.clock import utc_now
from shared.database import make_engine
from shared.dead_letters import bury_in
from shared.delivery import Delivery
from shared.health import Health, health_routes
from shared.limits import (
    EXTERNAL_SWEEP_BATCH,
    EXTERNAL_SWEEP_SECONDS,
    EXTERNAL_UNFINISHED_AFTER_SECONDS,
    PARTITIONS_TENDED_SECONDS,
    START_RETRY_SECONDS,
)
from shared.metrics import UNFINISHED
from shared.partitions import tend_partitions
from shared.relay import Relay
from shared.requests import Requests
from shared.runtime import Runtime
from shared.service import Service
from shared.serving import serve
from shared.settings import Settings
from shared.subscribing import Subscribing
from tallystick.subjects import Subjects
from tallystick.tasks import end

log = structlog.get_logger()


@dataclass(slots=True)
class Worker:
    """One service at work."""

    service: Service
    settings: Settings
    provide: Callable[[Settings], list[Any]]
    routes: Callable[[Runtime, Settings], list[BaseRoute]]
    engine: AsyncEngine = field(init=False)
    broker: NatsBroker = field(init=False)
    health: Health = field(init=False)
    relay: Relay = field(init=False)
    runtime: Runtime = field(init=False)
    requests: Requests = field(init=False)

    def __post_init__(self) -> None:
        name = self.service.name
        database_url = self.settings.database_url.get_secret_value()
        nats_url = self.settings.nats_url.get_secret_value()
        subjects = Subjects(self.settings.subject_prefix)
        self.engine = make_engine(database_url, name)
        self.broker = make_broker(nats_url, name)
        self.relay = Relay(
            schema=self.service.schema,
            database_url=database_url,
            connect_nats=lambda: connect(nats_url, f"{name}-relay"),
        )
        self.runtime = Runtime.of(
            self.service,
            self.engine,
            subjects=subjects,
            provided=self.provide(self.settings),
            wake_relay=self.relay.wake,
        )
        delivery = Delivery(name, bury_in(self.broker, subjects, name))
        subscribing = Subscribing(self.broker, self.runtime, delivery, inbox_prefix(nats_url))
        self.requests = Requests(self.runtime, subjects)
        self.health = Health(
            name, self.engine, self.broker, subscribing.subscribe(), self.relay, self.requests
        )

    def application(self) -> Starlette:
        """The worker as an ASGI application; its lifespan is the worker's life."""
        routes = [*self.routes(self.runtime, self.settings), *health_routes(self.health.problems)]
        return Starlette(routes=routes, lifespan=self._lifespan)

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        tasks = [
            asyncio.create_task(self._start_consuming()),
            asyncio.create_task(self.relay.run()),
            asyncio.create_task(self._sweep()),
            asyncio.create_task(self._tend_partitions()),
        ]
        try:
            yield
        finally:
            await asyncio.gather(self.broker.stop(), self.requests.stop())
            await end(*tasks)
            for instance in self.runtime.provided.values():
                if hasattr(instance, "close"):
                    await instance.close()
            await self.engine.dispose()

    async def _start_consuming(self) -> None:
        while True:
            try:
                await self.broker.start()
                nats_url = self.settings.nats_url.get_secret_value()
                await self.requests.start(await connect(nats_url, f"{self.service.name}-requests"))
            except Exception as error:  # noqa: BLE001 - whatever is missing may come
                log.warning("cannot start consuming yet", error=str(error) or type(error).__name__)
                with contextlib.suppress(Exception):
                    await self.broker.stop()
                await asyncio.sleep(START_RETRY_SECONDS)
            else:
                # All that is loaded now stays: the collector need not look at it again and again.
                gc.collect()
                gc.freeze()
                self.health.started = True
                log.info("consuming", durables=[durable.name for durable in self.health.durables])
                return

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

    async def _tend_partitions(self) -> None:
        """Have old rows dropped and new partitions opened when they are due."""
        while True:
            try:
                for change in await tend_partitions(self.engine, self.service.schema):
                    log.info("partitions tended", change=change)
            except Exception as error:  # noqa: BLE001 - whatever stands in the way, there is time
                log.warning("partitions not tended", error=str(error))
            await asyncio.sleep(PARTITIONS_TENDED_SECONDS)


def run(
    service: Service,
    *,
    provide: Callable[[Settings], list[Any]] = lambda _: [],
    routes: Callable[[Runtime, Settings], list[BaseRoute]] = lambda _, __: [],
) -> None:
    """Run a service's worker until it is told to stop: what `python -m services.<name>.app` does."""
    settings = Settings()
    serve(service.name, settings, lambda: Worker(service, settings, provide, routes).application())
