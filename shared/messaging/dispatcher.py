"""The dispatcher: parses a body, runs the handler once and returns its outcome.

Every command and question goes through it, whether it is a request or comes from the queue.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, partial
from typing import Any, Literal, get_type_hints

import structlog

from shared.errors import ConcurrentDuplicate, NotYetKnown, Rejected, Unavailable
from shared.messaging.command_batch import Answer, BatchedCommand, CommandBatch, Reads, no_statements
from shared.messaging.external_command import ExternalCommandSteps
from shared.messaging.message_parsing import command_id_of, parse
from shared.observability.tracing import outgoing_headers
from shared.persistence.database import is_conflict, is_database_away
from shared.persistence.group_commit import GroupCommit, no_owner
from shared.persistence.inbox import AlreadyDecided, Inbox, failed, outcome_of, rejected, succeeded
from shared.persistence.unit_of_work import Transactions, UnitOfWork
from shared.tuning import (
    DATABASE_CONFLICT_TRIES,
    GROUP_COMMIT_MAX_ITEMS,
    PROJECTION_LAG_SECONDS,
    PROJECTION_RETRY_SECONDS,
)
from tallystick.messages.base import Command, Outcome, Question

log = structlog.get_logger()

AWAY = "The service cannot reach its database or payment provider. Ask again with the same command_id."
TOO_LARGE = "The answer is larger than a message may be. Ask for less at a time."
BROKEN = "The service met an unexpected error, which is logged. Ask again with the same command_id."


@dataclass(frozen=True, slots=True)
class Handler:
    """A handler function, the message it handles, and how."""

    kind: Literal["command", "external_command", "question"]
    message: type[Command[Any]] | type[Question[Any]]
    function: Callable[..., Awaitable[Any]]
    together: bool = False
    """Whether messages that wait at the same moment share one transaction."""
    together_max: int = GROUP_COMMIT_MAX_ITEMS
    """How many messages share a transaction at most."""
    owner: Callable[[Any], Hashable] = no_owner
    """Returns the owner of a command: with a full queue, owners take turns."""
    reads: Reads = no_statements
    """Returns the statements that the function runs first for a group of commands."""
    reveal: Callable[..., Outcome] | None = None
    """Adds fields to an outcome before it is sent that must not be stored with it."""

    @property
    def name(self) -> str:
        """The name of the command or question."""
        return self.message.name


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """Handles the commands and questions of one service."""

    transactions: Transactions
    inbox: Inbox
    provided: dict[type[Any], Any]
    groups: dict[str, GroupCommit[Any, Any]] = field(default_factory=dict)
    """The groups of commands and questions that are handled together, by their names."""

    async def dispatch(self, handler: Handler, body: bytes, now: datetime) -> Outcome:
        """Handle a command or question received as `body` at `now` and return its outcome; never raises."""
        try:
            return await self.attempt(handler, body, now)
        except Exception as error:  # noqa: BLE001 - the caller gets an outcome after any error
            return self._failure_outcome(handler, body, error)

    def _failure_outcome(self, handler: Handler, body: bytes, error: BaseException) -> Outcome:
        """Log an error and return the outcome to send: a rejection of the body, or `failed`."""
        about = _log_fields(handler, body)
        if isinstance(error, Rejected):
            return rejected(about["command_id"], error)
        if isinstance(error, Unavailable):
            log.warning("unavailable", reason=str(error), **about)
            problem = str(error) or AWAY
        elif is_database_away(error):
            log.warning("database away", error=str(error), **about)
            problem = AWAY
        else:
            log.error("handler broke", exc_info=error, **about)
            problem = BROKEN
        return failed(None if handler.kind == "question" else about["command_id"], problem)

    async def attempt(self, handler: Handler, body: bytes, now: datetime) -> Outcome:
        """Handle a command or question and return its outcome.

        Raises when the outcome is unknown: Unavailable, errors of the database, errors of the handler.
        """
        try:
            message = parse(handler.message, body)
        except Rejected as rejection:
            return rejected(None if handler.kind == "question" else command_id_of(body), rejection)
        handle = self._handle_function(handler)
        for _ in range(DATABASE_CONFLICT_TRIES - 1):
            try:
                return self._with_revealed(handler, message, await handle(handler, message, now))
            except Exception as error:
                if not is_conflict(error):
                    raise
        return self._with_revealed(handler, message, await handle(handler, message, now))

    def _with_revealed(self, handler: Handler, message: Any, outcome: Outcome) -> Outcome:
        if handler.reveal is None:
            return outcome
        return handler.reveal(message, outcome, *injected(handler.reveal, self.provided))

    def _handle_function(self, handler: Handler) -> Callable[[Handler, Any, datetime], Awaitable[Outcome]]:
        if handler.kind == "question":
            return self._answer_question
        return self._handle_external if handler.kind == "external_command" else self._handle_command

    def submit(
        self, handler: Handler, body: bytes, now: datetime, headers: Mapping[str, str] | None = None
    ) -> "asyncio.Future[Answer]":
        """Add a command to the group with which it is handled; return a future of its answer.

        Raises Rejected when the body is malformed, and Unavailable when the queue is full.
        """
        command: Command[Any] = parse(handler.message, body)  # type: ignore[arg-type] # only commands come here
        return self._command_group(handler).put(BatchedCommand(command, body, now, headers))

    def failure_answer(self, handler: Handler, body: bytes, error: BaseException) -> Answer:
        """Build the answer to a command whose handling raised `error`."""
        outcome = self._failure_outcome(handler, body, error)
        return Answer(outcome.status, outcome.to_json())

    def too_large(self, handler: Handler, body: bytes) -> Outcome:
        """Build the outcome for an answer that is larger than a message may be."""
        if handler.kind == "question":
            return rejected(None, Rejected("invalid_message", TOO_LARGE))
        return failed(command_id_of(body), TOO_LARGE)

    async def close(self) -> None:
        """Wait until every waiting command and question is answered."""
        for group in self.groups.values():
            await group.close()

    async def _handle_in_group(self, handler: Handler, command: Command[Any], now: datetime) -> Outcome:
        asked = BatchedCommand(command, command.model_dump_json().encode(), now, outgoing_headers())
        answer: Answer = await self._command_group(handler).submit(asked)
        return Outcome.model_validate_json(answer.body)

    def _command_group(self, handler: Handler) -> GroupCommit[Any, Any]:
        group = self.groups.get(handler.name)
        if group is None:
            together = CommandBatch(
                name=f"{handler.message.service}.{handler.name}",
                inbox=self.inbox,
                begin=lambda cause, now: self.transactions.begin(caused_by=cause, now=now),
                call=partial(self._call, handler),
                reads=handler.reads,
            )
            group = self._new_group(handler, together.handle, lambda asked: handler.owner(asked.command))
        return group

    async def _handle_command(self, handler: Handler, command: Command[Any], now: datetime) -> Outcome:
        if handler.together:
            return await self._handle_in_group(handler, command, now)

        async def handle(work: UnitOfWork) -> Outcome:
            return succeeded(command, await self._call(handler, work, command))

        try:
            outcome: Outcome = await _once_known(lambda: self._handle_once(command, now, handle))
            return outcome
        except Rejected as rejection:
            return await self._refuse(command, now, rejection)
        except ConcurrentDuplicate:
            raise
        except Exception:
            # The error may come from effects of the first handling of the same command.
            async with self.transactions.read(asked=command.command_id, now=now) as work:
                stored = await self.inbox.find(work, command)
            if stored is None:
                raise
            return outcome_of(stored)

    async def _refuse(self, command: Command[Any], now: datetime, rejection: Rejected) -> Outcome:
        outcome = rejected(command.command_id, rejection)
        if rejection.error.code == "idempotency_conflict":
            return outcome

        async def refuse(_: UnitOfWork) -> Outcome:
            return outcome

        try:
            return await self._handle_once(command, now, refuse)
        except Rejected as conflict:
            return rejected(command.command_id, conflict)

    async def _handle_once(
        self, command: Command[Any], now: datetime, handle: Callable[[UnitOfWork], Awaitable[Outcome]]
    ) -> Outcome:
        """Return the stored outcome of a command, or call `handle` and store its outcome."""
        async with self._begin(command, now) as work:
            stored = await self.inbox.find(work, command)
            if stored is not None:
                return outcome_of(stored)
            outcome = await handle(work)
            self.inbox.settle(work, command, outcome)
            return outcome

    async def _handle_external(self, handler: Handler, command: Command[Any], now: datetime) -> Outcome:
        steps = ExternalCommandSteps(command, now, self.inbox, self.transactions)
        try:
            result = await self._call(handler, steps, command)
            if steps.outcome is None:
                await steps.record(lambda _: _return(result))
        except AlreadyDecided as decided:
            return decided.outcome
        except Rejected as rejection:
            if rejection.error.code == "idempotency_conflict":
                return rejected(command.command_id, rejection)
            return await steps.reject(rejection)
        return steps.outcome or succeeded(command, result)

    async def _answer_question(self, handler: Handler, question: Question[Any], now: datetime) -> Outcome:
        try:
            if handler.together:
                result = await self._question_group(handler).submit((question, now))
            else:
                result = await _once_known(lambda: self._read(handler, question, now))
        except Rejected as rejection:
            return rejected(None, rejection)
        return Outcome.model_construct(status="succeeded", result=result.model_dump(mode="json"))

    async def _read(self, handler: Handler, question: Question[Any], now: datetime) -> Any:
        async with self.transactions.read(asked=handler.name, now=now) as work:
            return await self._call(handler, work, question)

    def _question_group(self, handler: Handler) -> GroupCommit[Any, Any]:
        return self.groups.get(handler.name) or self._new_group(
            handler, partial(self._answer_together, handler)
        )

    def _new_group(
        self,
        handler: Handler,
        commit: Callable[[Sequence[Any]], Awaitable[Sequence[Any]]],
        owner: Callable[[Any], Hashable] = no_owner,
    ) -> GroupCommit[Any, Any]:
        service = handler.message.service
        group: GroupCommit[Any, Any] = GroupCommit(
            commit,
            service=service,
            name=handler.name,
            isolates=_is_isolated,
            max_items=handler.together_max,
            owner=owner,
        )
        self.groups[handler.name] = group
        return group

    async def _answer_together(
        self, handler: Handler, asked: Sequence[tuple[Question[Any], datetime]]
    ) -> Sequence[Any]:
        # One moment for all: that of the question that has waited longest.
        async with self.transactions.read(asked=handler.name, now=asked[0][1]) as work:
            answers: Sequence[Any] = await self._call(handler, work, [question for question, _ in asked])
        return answers

    async def _call(self, handler: Handler, first: Any, message: Any) -> Any:
        return await handler.function(first, message, *injected(handler.function, self.provided))

    def _begin(self, command: Command[Any], now: datetime) -> Any:
        return self.transactions.begin(caused_by=command.command_id, now=now)


async def _once_known(attempt: Callable[[], Awaitable[Any]]) -> Any:
    """Handle a message; after NotYetKnown retry it for PROJECTION_LAG_SECONDS."""
    for _ in range(int(PROJECTION_LAG_SECONDS / PROJECTION_RETRY_SECONDS)):
        try:
            return await attempt()
        except NotYetKnown:
            await asyncio.sleep(PROJECTION_RETRY_SECONDS)
    return await attempt()


def _log_fields(handler: Handler, body: bytes) -> dict[str, str | None]:
    return {"handler": handler.name, "command_id": command_id_of(body)}


def _is_isolated(error: Exception) -> bool:
    """Whether an error may come from one item of a group, rather than from a database that is away."""
    if isinstance(error, ConcurrentDuplicate):
        return True  # one command of the group was handled elsewhere
    return not is_database_away(error) and not isinstance(error, Unavailable)


def injected(function: Callable[..., Any], provided: dict[type[Any], Any]) -> list[Any]:
    """Return the arguments after a handler's first two, looked up by type in what the service provides."""
    return [provided[wanted] for wanted in _parameter_types(function)]


@cache
def _parameter_types(function: Callable[..., Any]) -> tuple[type[Any], ...]:
    hints = get_type_hints(function)
    return tuple(hints[name] for name in list(inspect.signature(function).parameters)[2:])


async def _return(result: Any) -> Any:
    return result
