"""Where a service's handlers are connected to JetStream: queued commands, ticks and followed streams.

The only module that knows FastStream's subscribers. Bodies stay bytes up to our own strict parsing, so that
every wrong one gets the same clear answer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import structlog
from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker, NatsMessage, PullSub
from nats.errors import Error as NatsError

from shared.clock import utc_now
from shared.delivery import Delivery, Handle, Incoming, Undeliverable
from shared.limits import PULL_BATCH_MESSAGES, PULL_TIMEOUT_SECONDS
from shared.runtime import Runtime
from shared.tracing import outgoing_headers
from tallystick.messages.base import Outcome
from tallystick.subjects import COMMANDS_STREAM, REPLY_TO_HEADER, SERVICE_FEED_STREAM, TICKS_STREAM

log = structlog.get_logger()

REPLY_PREFIX = "_INBOX"
"""Outcomes of queued commands go to inboxes alone: nobody has a worker publish elsewhere in its name."""


@dataclass(frozen=True, slots=True)
class Durable:
    """A durable consumer that a worker depends on."""

    stream: str
    name: str


@dataclass(frozen=True, slots=True)
class Subscribing:
    """Connects one service's handlers to a broker."""

    broker: NatsBroker
    runtime: Runtime
    delivery: Delivery
    inbox_prefix: str

    def subscribe(self) -> list[Durable]:
        """Connect everything; returns the durable consumers it depends on."""
        service = self.runtime.service
        durables = []
        if any(handler.kind != "question" for handler in service.handlers.values()):
            commands = Durable(COMMANDS_STREAM, f"{service.name}-commands")
            durables.append(self._consume(commands, _last_token, self._queued))
        if service.jobs:
            ticks = Durable(TICKS_STREAM, f"{service.name}-ticks")
            durables.append(self._consume(ticks, _last_token, self._tick))
        if service.listeners:
            feed = Durable(SERVICE_FEED_STREAM, f"{service.name}-feed")
            following = self.runtime.following
            durables.append(self._consume(feed, following.handler_name, following.hear))
        for follower in service.followers:
            followed = Durable(follower.stream, follower.consumer)
            follow = partial(self.runtime.follow, follower)
            durables.append(self._consume(followed, partial(_always, follower.name), follow))
        return durables

    def _consume(self, durable: Durable, name_of: Callable[[Incoming], str], handle: Handle) -> Durable:
        async def consume(message: NatsMessage) -> None:
            await self.delivery.deliver(message, name_of, handle)

        self.broker.subscriber(
            durable.name,
            durable=durable.name,
            stream=JStream(durable.stream, declare=False),
            pull_sub=PullSub(batch_size=PULL_BATCH_MESSAGES, timeout=PULL_TIMEOUT_SECONDS),
            # Not taken from the connection: without it replies would come to the inbox everybody may read.
            inbox_prefix=self.inbox_prefix.encode() + b".",
            decoder=_as_it_is,
            ack_policy=AckPolicy.MANUAL,
            no_reply=True,
            title=durable.name,
        )(consume)
        return durable

    async def _queued(self, incoming: Incoming) -> str:
        handler = self.runtime.service.handlers.get(_last_token(incoming))
        if handler is None or handler.kind == "question":
            raise Undeliverable(f"nobody handles commands on {incoming.subject}")
        outcome = await self.runtime.command(handler, incoming.body, utc_now())
        await self._reply(incoming, outcome)
        if outcome.error and outcome.error.code == "invalid_message":
            raise Undeliverable(f"invalid_message: {outcome.error.details}")
        return outcome.status

    async def _reply(self, incoming: Incoming, outcome: Outcome) -> None:
        subject = incoming.headers.get(REPLY_TO_HEADER)
        if subject is None:
            return
        if not subject.startswith(REPLY_PREFIX) or "*" in subject or ">" in subject:
            log.warning("reply subject refused", subject=subject[:200], allowed=f"{REPLY_PREFIX}…")
            return
        try:
            await self.broker.publish(outcome.to_json(), subject, headers=outgoing_headers())
        except NatsError as error:
            # The command is done. Whoever sent it may send it again, and gets the stored outcome.
            log.warning("outcome not sent", subject=subject[:200], error=str(error))

    async def _tick(self, incoming: Incoming) -> None:
        job = self.runtime.service.jobs.get(_last_token(incoming))
        if job is None:
            raise Undeliverable(f"nobody has the job of {incoming.subject}")
        await self.runtime.tick(job, incoming)


async def _as_it_is(message: NatsMessage) -> NatsMessage:
    """A decoder that leaves the message as it is."""
    return message


def _last_token(incoming: Incoming) -> str:
    return incoming.subject.rpartition(".")[2]


def _always(name: str, _: Incoming) -> str:
    return name
