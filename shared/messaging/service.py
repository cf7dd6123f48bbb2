"""A service: its tables, and the handlers it registers by decorator.

`shared.runtime.worker` connects the registered handlers to NATS and Postgres.
"""

from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeVar

import sqlalchemy as sa

from shared.messaging.command_batch import Reads, no_statements
from shared.messaging.dispatcher import Handler
from shared.persistence.group_commit import no_owner
from shared.tuning import GROUP_COMMIT_MAX_ITEMS, PULL_BATCH_MESSAGES
from tallystick.messages.base import Command, Event, Outcome, Question

Function = TypeVar("Function", bound=Callable[..., Awaitable[Any]])


@dataclass(frozen=True, slots=True)
class StreamConsumer:
    """A function that handles the messages of one durable consumer."""

    consumer: str
    stream: str
    name: str
    """The name in metrics and dead letters."""
    function: Callable[..., Awaitable[None]]


@dataclass(frozen=True, slots=True)
class EventHandler:
    """A function that handles the events of one entity of another service."""

    event: type[Event]
    name: str
    """The name in metrics and dead letters."""
    kind: Literal["single", "together", "in_parts"]
    function: Callable[..., Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Job:
    """A function that does everything that is due at the moment of a tick."""

    name: str
    function: Callable[..., Awaitable[None]]


def tick_cause(service: str, job: str, at: datetime) -> str:
    """Build the `caused_by` of a job's changes: `consumables.renew_grants 2026-01-31T00:00:00Z`."""
    return f"{service}.{job} {at.isoformat().replace('+00:00', 'Z')}"


@dataclass(slots=True)
class Service:
    """The name, tables and handlers of one service."""

    name: str
    metadata: sa.MetaData
    handlers: dict[str, Handler] = field(default_factory=dict)
    stream_consumers: list[StreamConsumer] = field(default_factory=list)
    event_handlers: dict[tuple[str, int], EventHandler] = field(default_factory=dict)
    """By entity and schema version."""
    jobs: dict[str, Job] = field(default_factory=dict)
    feed_batch: int = PULL_BATCH_MESSAGES
    """Events of the feed that a worker pulls at a time; more where handlers take many in one transaction."""

    @property
    def schema(self) -> str:
        """The Postgres schema, which no other service may use."""
        return self.metadata.schema or self.name

    def table(self, name: str) -> sa.Table:
        """Return one of this service's tables by its name."""
        return self.metadata.tables[f"{self.schema}.{name}"]

    def command(
        self,
        message: type[Command[Any]],
        *,
        together: bool = False,
        together_max: int = GROUP_COMMIT_MAX_ITEMS,
        owner: Callable[[Any], Hashable] = no_owner,
        reads: Reads = no_statements,
        reveal: Callable[..., Outcome] | None = None,
    ) -> Callable[[Function], Function]:
        """Register a handler that runs in one transaction: `async (work, command, *provided) -> result`.

        With `together`, for commands that come thousands of times a second, commands that wait at the same
        moment are passed as one list of at most `together_max`, none of them handled before:
        `async (work, commands, *provided) -> [result or Rejected, …]`, in the same order. A result may be
        JSON as bytes. The handler must not apply anything of a command that it rejects. `owner(command)`
        makes owners take turns when the queue is full. `reads(commands)` are the statements that the handler
        runs first: they are sent in the same round trip as the search in the inbox, and their results are
        used if all commands are new.

        `reveal(command, outcome, *provided) -> outcome` adds fields that are sent to the caller and never
        stored. It is called for repetitions of the command too and must return the same each time.
        """
        return self._register(
            "command",
            message,
            together=together,
            together_max=together_max,
            owner=owner,
            reads=reads,
            reveal=reveal,
        )

    def external_command(self, message: type[Command[Any]]) -> Callable[[Function], Function]:
        """Register a handler that calls another system: `async (steps, command, *provided) -> result`."""
        return self._register("external_command", message)

    def question(
        self, message: type[Question[Any]], *, together: bool = False
    ) -> Callable[[Function], Function]:
        """Register a handler that answers a question: `async (work, question, *provided) -> result`.

        With `together`, for questions that come thousands of times a second, questions that wait at the same
        moment are passed as one list, `async (work, questions, *provided) -> [result or exception, …]`, and
        answered in the same order.
        """
        return self._register("question", message, together=together)

    def follow(self, consumer: str, *, stream: str, name: str) -> Callable[[Function], Function]:
        """Register a handler of a durable consumer: `async (transactions, incoming, *provided) -> None`.

        `name` is its name in metrics and dead letters. The handler raises Undeliverable for a message that
        can never be handled; after any other error the message is retried with a growing delay.
        """

        def register(function: Function) -> Function:
            self.stream_consumers.append(StreamConsumer(consumer, stream, name, function))
            return function

        return register

    def event(
        self, event: type[Event], *, name: str, together: bool = False, in_parts: bool = False
    ) -> Callable[[Function], Function]:
        """Register a handler of events, in one transaction: `async (work, event, *provided) -> None`.

        Events come more than once and in any order (`shared.messaging.feed_consumer.keep_newest`). With
        `together`, events that wait at the same moment are passed as one list and share the transaction:
        `async (work, events, *provided)`. With `in_parts`, for work that is too much for one transaction, the
        handler opens transactions itself, `async (begin, event, *provided)`, and must be repeatable after any
        of them. `name` is its name in metrics and dead letters.
        """
        kind: Literal["single", "together", "in_parts"] = "single"
        if together or in_parts:
            kind = "together" if together else "in_parts"

        def register(function: Function) -> Function:
            key = (event.entity, event.schema_version)
            if key in self.event_handlers:
                raise ValueError(f"somebody listens to {event.__name__} already")
            self.event_handlers[key] = EventHandler(event, name, kind, function)
            return function

        return register

    def job(self, name: str) -> Callable[[Function], Function]:
        """Register a job that runs at a tick: `async (transactions, at, *provided) -> None`."""

        def register(function: Function) -> Function:
            self.jobs[name] = Job(name, function)
            return function

        return register

    def _register(
        self,
        kind: Literal["command", "external_command", "question"],
        message: type[Command[Any]] | type[Question[Any]],
        **options: Any,
    ) -> Callable[[Function], Function]:
        if message.service != self.name:
            raise ValueError(f"{message.__name__} belongs to {message.service}, not to {self.name}")
        if message.name in self.handlers:
            raise ValueError(f"{message.name} has a handler already")

        def register(function: Function) -> Function:
            self.handlers[message.name] = Handler(kind, message, function, **options)
            return function

        return register
