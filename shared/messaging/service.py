"""What a service is made of: its tables, and the handlers it registers by decorator.

A service's `handlers` read as a table of contents of its commands, questions, followed events and jobs;
how they are connected to NATS and Postgres is `shared.runtime.worker`'s business.
"""

from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeVar

import sqlalchemy as sa

from shared.messaging.command_batch import Reads, no_statements
from shared.messaging.dispatcher import Handler
from shared.persistence.group_commit import no_owner
from shared.tuning import GROUP_COMMIT_MAX_ITEMS
from tallystick.messages.base import Command, Event, Outcome, Question

Function = TypeVar("Function", bound=Callable[..., Awaitable[Any]])


@dataclass(frozen=True, slots=True)
class StreamConsumer:
    """A function that handles the messages of one durable consumer."""

    consumer: str
    stream: str
    name: str
    """In metrics and dead letters."""
    function: Callable[..., Awaitable[None]]


@dataclass(frozen=True, slots=True)
class EventHandler:
    """A function that takes note of the entities of one kind, which another service tells of."""

    event: type[Event]
    name: str
    """In metrics and dead letters."""
    kind: Literal["single", "together", "in_parts"]
    function: Callable[..., Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Job:
    """A function that does all that is due by the moment a tick carries."""

    name: str
    function: Callable[..., Awaitable[None]]


def tick_cause(service: str, job: str, at: datetime) -> str:
    """The `caused_by` of what a job changes: `consumables.renew_grants 2026-01-31T00:00:00Z`."""
    return f"{service}.{job} {at.isoformat().replace('+00:00', 'Z')}"


@dataclass(slots=True)
class Service:
    """One service's name, tables and handlers."""

    name: str
    metadata: sa.MetaData
    handlers: dict[str, Handler] = field(default_factory=dict)
    stream_consumers: list[StreamConsumer] = field(default_factory=list)
    event_handlers: dict[tuple[str, int], EventHandler] = field(default_factory=dict)
    """By entity and schema version."""
    jobs: dict[str, Job] = field(default_factory=dict)

    @property
    def schema(self) -> str:
        """The Postgres schema that only this service may touch."""
        return self.metadata.schema or self.name

    def table(self, name: str) -> sa.Table:
        """One of this service's tables."""
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
        """Handle a command in one transaction: `async (work, command, *provided) -> result`.

        With `together`, for what comes thousands of times a second: those that wait at one moment come as one
        list, none of them handled before, `async (work, commands, *provided) -> [result or Rejected, …]`, in
        the same order, at most `together_max` of them. A result may be JSON written already. What is refused
        has no effect only if the handler gave it none. Where more come than fit, `owner(command)` says who
        takes turns. `reads(commands)` are the statements that the handler runs first, which saves a journey:
        they go to Postgres with the search for the commands, and what is read is used if none was known.

        `reveal(command, outcome, *provided) -> outcome` adds what is shown to the caller and never stored. It
        is called for every repetition of the command too, and must say the same each time.
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
        """Handle a command that calls somebody outside: `async (steps, command, *provided) -> result`."""
        return self._register("external_command", message)

    def question(
        self, message: type[Question[Any]], *, together: bool = False
    ) -> Callable[[Function], Function]:
        """Answer a question: `async (work, question, *provided) -> result`.

        With `together`, for what is asked thousands of times a second: those that wait at one moment come
        as one list, `async (work, questions, *provided) -> [result or exception, …]`, in the same order.
        """
        return self._register("question", message, together=together)

    def follow(self, consumer: str, *, stream: str, name: str) -> Callable[[Function], Function]:
        """Handle the messages of a stream's durable consumer; metrics and dead letters carry `name`.

        The function is `async (transactions, incoming, *provided) -> None`. It raises Undeliverable for a
        message that can never be handled; any other error is tried again with growing delay.
        """

        def register(function: Function) -> Function:
            self.stream_consumers.append(StreamConsumer(consumer, stream, name, function))
            return function

        return register

    def event(
        self, event: type[Event], *, name: str, together: bool = False, in_parts: bool = False
    ) -> Callable[[Function], Function]:
        """Take note of an entity on the feed, in one transaction: `async (work, event, *provided) -> None`.

        Events come more than once and in any order (`shared.messaging.feed_consumer.keep_newest`). With
        `together` those that wait at one moment come as one list, `async (work, events, *provided)`, and
        share the transaction. With `in_parts`, for what is too much for one transaction, the function opens
        them itself, `async (begin, event, *provided)`, and must stand to be called again after any of them.
        Metrics and dead letters carry `name`.
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
        """Do what is due when a tick comes: `async (transactions, at, *provided) -> None`."""

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
