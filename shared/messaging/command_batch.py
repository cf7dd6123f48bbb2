"""Commands of one kind handled together: those that wait at one moment share a transaction.

Each has an outcome of its own, stored and found again like any other. What came before, or comes twice in one
group, is answered from the inbox; only what is new is handed to the handler.
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
    """What a handler reads first that does not say it."""
    return ()


@dataclass(frozen=True, slots=True)
class BatchedCommand:
    """A command as it came in."""

    command: Command[Any]
    body: bytes
    now: datetime
    headers: Mapping[str, str] | None = None
    """Of the message; a trace goes on from there."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A command's outcome, written already."""

    status: str
    body: bytes


AnswerOrError = Answer | Exception


@dataclass(frozen=True, slots=True)
class CommandBatch:
    """Handles groups of one kind of command."""

    name: str
    inbox: Inbox
    begin: Begin
    call: Call
    reads: Reads = no_statements
    """What `call` runs first for these commands, so that it is on the way with the search for them."""

    async def handle(self, group: Sequence[BatchedCommand]) -> Sequence[AnswerOrError]:
        """An answer for each, once all of them are committed; raises when nobody can tell."""
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
        # The last to come in was not there before the moment it came.
        now = max(asked.now for asked in group)
        async with self.begin(group[0].command.command_id, now) as work:
            work.traces = traces
            work.prefetched = list(self.reads([asked.command for asked in group]))
            return await decide_batch(work, self.inbox, group, self.call)


async def decide_batch(
    work: UnitOfWork, inbox: Inbox, group: Sequence[BatchedCommand], call: Call
) -> list[AnswerOrError]:
    """An answer for each, within a transaction: those that are new are handed to `call`.

    They are stored when the unit of work ends; it raises ConcurrentDuplicate when another worker was first.
    """
    known = await inbox.find_many(work, [asked.command.command_id for asked in group])
    prints = [fingerprint(asked.command) for asked in group]
    new: dict[str, int] = {}
    for number, asked in enumerate(group):
        if asked.command.command_id not in known:
            new.setdefault(asked.command.command_id, number)
    if len(new) < len(group):
        work.forget_prefetched()  # that was for all of them
    answers = await _decide(work, inbox, group, prints, list(new.values()), call) if new else {}
    told = []
    for asked, own in zip(group, prints, strict=True):
        command_id = asked.command.command_id
        first = known[command_id].fingerprint if command_id in known else prints[new[command_id]]
        if own != first:
            told.append(_answer(command_id, idempotency_conflict(command_id)))
        else:
            told.append(_again(known[command_id]) if command_id in known else answers[command_id])
    return told


async def _decide(
    work: UnitOfWork,
    inbox: Inbox,
    group: Sequence[BatchedCommand],
    prints: Sequence[bytes],
    new: Sequence[int],
    call: Call,
) -> dict[str, AnswerOrError]:
    """Hand the new ones to the handler, and store what became of them."""
    results = await call(work, [group[number].command for number in new])
    answers: dict[str, AnswerOrError] = {}
    decided = []
    for number, result in zip(new, results, strict=True):
        asked = group[number]
        answer = _answer(asked.command.command_id, result)
        answers[asked.command.command_id] = answer
        if isinstance(answer, Answer):
            decided.append(DecidedCommand(asked.command, prints[number], asked.body, answer.body))
    inbox.settle_many(work, decided)
    return answers


def _again(known: KnownCommand) -> AnswerOrError:
    if known.outcome is None:
        return Unavailable("the same command is being handled elsewhere")
    return Answer(orjson.loads(known.outcome)["status"], known.outcome)


def _answer(command_id: str, result: BaseModel | bytes | Exception) -> AnswerOrError:
    if isinstance(result, Exception) and not isinstance(result, Rejected):
        return result
    status = "rejected" if isinstance(result, Rejected) else "succeeded"
    return Answer(status, outcome_json(command_id, result))
