"""Commands of one kind handled together: those that wait at the same moment share a transaction.

Each command has its own outcome in the inbox. A command that was handled before, or is twice in one group, is
answered from the inbox; only new commands are passed to the handler.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from pydantic import BaseModel

from shared.errors import Rejected, Unavailable
from shared.observability.tracing import handling, trace_headers
from shared.persistence.database import is_conflict
from shared.persistence.inbox import (
    DecidedCommand,
    Inbox,
    KnownCommand,
    fingerprint,
    idempotency_conflict,
    outcome_json,
)
from shared.persistence.sql_pipeline import BoundStatement
from shared.persistence.unit_of_work import Traces, UnitOfWork
from shared.tuning import DATABASE_CONFLICT_TRIES
from tallystick.messages.base import Command

Begin = Callable[[str, datetime], AbstractAsyncContextManager[UnitOfWork]]
Call = Callable[[UnitOfWork, list[Any]], Awaitable[Sequence[Any]]]
Reads = Callable[[Sequence[Any]], Sequence[BoundStatement]]


def no_statements(_: Sequence[Any]) -> Sequence[BoundStatement]:
    """Return no statements: the default for a handler that prefetches nothing."""
    return ()


@dataclass(frozen=True, slots=True)
class BatchedCommand:
    """A command as it was received."""

    command: Command[Any]
    body: bytes
    now: datetime
    headers: Mapping[str, str] | None = None
    """The headers of the message, with its trace context."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A command's outcome, encoded as JSON."""

    status: str
    body: bytes


AnswerOrError = Answer | Exception


@dataclass(frozen=True, slots=True)
class CommandBatch:
    """Handles groups of commands of one kind."""

    name: str
    inbox: Inbox
    begin: Begin
    call: Call
    reads: Reads = no_statements
    """The statements that `call` runs first for these commands; sent along with the search in the inbox."""

    async def handle(self, group: Sequence[BatchedCommand]) -> Sequence[AnswerOrError]:
        """Handle a group in one transaction and return an answer for each command once it is committed.

        Raises when the transaction failed or its outcome is unknown.
        """
        traces = {asked.command.command_id: trace_headers(asked.headers) for asked in group}
        traced = next((cause for cause, trace in traces.items() if trace), None)
        with handling(self.name, traces.pop(traced) if traced else None):
            for _ in range(DATABASE_CONFLICT_TRIES - 1):
                try:
                    return await self._handle(group, traces)
                except Exception as error:
                    if not is_conflict(error):
                        raise
            return await self._handle(group, traces)

    async def _handle(self, group: Sequence[BatchedCommand], traces: Traces) -> Sequence[AnswerOrError]:
        # The latest moment of receipt: no command may be handled at a moment before it was received.
        now = max(asked.now for asked in group)
        async with self.begin(group[0].command.command_id, now) as work:
            work.traces = traces
            work.prefetched = list(self.reads([asked.command for asked in group]))
            return await decide_batch(work, self.inbox, group, self.call)


async def decide_batch(
    work: UnitOfWork, inbox: Inbox, group: Sequence[BatchedCommand], call: Call
) -> list[AnswerOrError]:
    """Decide a group of commands in a transaction, passing the new ones to `call`; return their answers.

    Outcomes are stored at the end of the transaction, which raises ConcurrentDuplicate when another worker
    was first.
    """
    known = await inbox.find_many(work, [asked.command.command_id for asked in group])
    fingerprints = [fingerprint(asked.command) for asked in group]
    new: dict[str, int] = {}
    for number, asked in enumerate(group):
        if asked.command.command_id not in known:
            new.setdefault(asked.command.command_id, number)
    if len(new) < len(group):
        work.forget_prefetched()  # it was for all commands, and not all are new
    answers = await _decide_new(work, inbox, group, fingerprints, list(new.values()), call) if new else {}
    all_answers = []
    for asked, own in zip(group, fingerprints, strict=True):
        command_id = asked.command.command_id
        first = known[command_id].fingerprint if command_id in known else fingerprints[new[command_id]]
        if own != first:
            all_answers.append(_new_answer(command_id, idempotency_conflict(command_id)))
        else:
            stored = known.get(command_id)
            all_answers.append(_stored_answer(stored) if stored else answers[command_id])
    return all_answers


async def _decide_new(
    work: UnitOfWork,
    inbox: Inbox,
    group: Sequence[BatchedCommand],
    fingerprints: Sequence[bytes],
    new: Sequence[int],
    call: Call,
) -> dict[str, AnswerOrError]:
    """Pass the new commands to the handler and store their outcomes."""
    results = await call(work, [group[number].command for number in new])
    answers: dict[str, AnswerOrError] = {}
    decided = []
    for number, result in zip(new, results, strict=True):
        asked = group[number]
        answer = _new_answer(asked.command.command_id, result)
        answers[asked.command.command_id] = answer
        if isinstance(answer, Answer):
            decided.append(DecidedCommand(asked.command, fingerprints[number], asked.body, answer.body))
    inbox.settle_many(work, decided)
    return answers


def _stored_answer(known: KnownCommand) -> AnswerOrError:
    if known.outcome is None:
        return Unavailable("the same command is being handled elsewhere")
    return Answer(orjson.loads(known.outcome)["status"], known.outcome)


def _new_answer(command_id: str, result: BaseModel | bytes | Exception) -> AnswerOrError:
    if isinstance(result, Exception) and not isinstance(result, Rejected):
        return result
    status = "rejected" if isinstance(result, Rejected) else "succeeded"
    return Answer(status, outcome_json(command_id, result))
