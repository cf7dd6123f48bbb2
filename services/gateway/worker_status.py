"""The health of the services: whether each answers, and how many messages wait for it."""

import asyncio
import time
from typing import Any

import nats.errors
from nats.js.api import ConsumerInfo
from nats.js.errors import APIError
from pydantic import Field

from services.gateway.problem_details import ProblemError
from services.gateway.service_client import ServiceClient
from tallystick.client import TallystickError
from tallystick.messages import (
    consumables,
    licenses,
    monitoring,
    notifications,
    payouts,
    seats,
    subscriptions,
    webhooks,
)
from tallystick.messages.base import Customer, Question, TolerantModel
from tallystick.subjects import (
    COMMANDS_STREAM,
    DEAD_LETTERS_STREAM,
    OUTGOING_EVENTS_STREAM,
    SERVICE_FEED_STREAM,
    STRIPE_EVENTS_STREAM,
    TICKS_STREAM,
    WEBHOOKS_STREAM,
)

TIMEOUT_SECONDS = 2.0
UNKNOWN_CUSTOMER = Customer(type="user", id="0")
STREAMS = (
    COMMANDS_STREAM,
    STRIPE_EVENTS_STREAM,
    TICKS_STREAM,
    WEBHOOKS_STREAM,
    SERVICE_FEED_STREAM,
    OUTGOING_EVENTS_STREAM,
)
"""Streams that workers consume."""
HEALTH_QUESTIONS: dict[str, Question[Any]] = {
    "subscriptions": subscriptions.GetCustomer(customer=UNKNOWN_CUSTOMER),
    "seats": seats.ListMemberships(member=UNKNOWN_CUSTOMER, limit=1),
    "consumables": consumables.ListBalances(consumer=UNKNOWN_CUSTOMER, limit=1),
    "monitoring": monitoring.ListSnapshots(limit=1),
    "payouts": payouts.GetAccount(customer=Customer(type="organization", id="0")),
    "licenses": licenses.ListLicenses(limit=1),
    "webhooks": webhooks.ListEvents(limit=1),
    "notifications": notifications.ListNotifications(limit=1),
}
"""A cheap question for each service; a rejection counts as an answer too."""


class ServiceHealth(TolerantModel):
    """Whether a service answers."""

    service: str
    answers: bool
    milliseconds: float | None = Field(description="How long the answer took; null if there was none.")
    problem: str | None = None


class ConsumerLag(TolerantModel):
    """The lag of one of a service's consumers."""

    service: str
    consumer: str
    stream: str
    pending: int = Field(description="Messages that are not delivered yet.")
    in_progress: int = Field(description="Messages that are delivered but not acknowledged.")
    redelivered: int = Field(description="Messages in progress that were delivered before.")


class Workers(TolerantModel):
    """The health and lag of all services."""

    services: list[ServiceHealth]
    consumers: list[ConsumerLag]
    dead_letters: int


async def load_worker_status(services: ServiceClient) -> Workers:
    """Question every service and JetStream. Raises ProblemError."""
    jetstream = services.connection().jetstream()
    health = await asyncio.gather(
        *(_health(services, name, question) for name, question in HEALTH_QUESTIONS.items())
    )
    try:
        listed = await asyncio.gather(*(jetstream.consumers_info(stream) for stream in STREAMS))
        letters = (await jetstream.stream_info(DEAD_LETTERS_STREAM)).state.messages
    except (APIError, nats.errors.Error, TimeoutError) as error:
        raise ProblemError("unavailable", "JetStream does not answer just now.") from error
    return Workers(
        services=health,
        consumers=[_lag(info) for infos in listed for info in infos],
        dead_letters=letters,
    )


async def _health(services: ServiceClient, name: str, question: Question[Any]) -> ServiceHealth:
    started = time.perf_counter()
    try:
        await services.client.answer(question, deadline_seconds=TIMEOUT_SECONDS)
    except TallystickError as error:
        return ServiceHealth(service=name, answers=False, milliseconds=None, problem=str(error))
    return ServiceHealth(
        service=name, answers=True, milliseconds=round((time.perf_counter() - started) * 1000, 1)
    )


def _lag(info: ConsumerInfo) -> ConsumerLag:
    return ConsumerLag(
        service=info.name.partition("-")[0],
        consumer=info.name,
        stream=info.stream_name,
        pending=info.num_pending or 0,
        in_progress=info.num_ack_pending or 0,
        redelivered=info.num_redelivered or 0,
    )
