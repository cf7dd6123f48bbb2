"""External commands, which call another system in three steps: intent, call, result.

The intent is committed in the inbox before the call. After a crash in between, the command is finished when
the caller retries with the same id, or by the sweep. The call carries an idempotency key derived from the
command id, so that the other system acts once as well.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel

from shared.clock import utc_now
from shared.errors import Rejected, Unavailable
from shared.persistence.inbox import AlreadyDecided, Inbox, InboxRow, outcome_of, rejected, succeeded
from shared.persistence.sql_pipeline import BoundStatement
from shared.persistence.unit_of_work import Transactions, UnitOfWork
from tallystick.messages.base import Command, Outcome

Intent = TypeVar("Intent", bound=BaseModel)
Result = TypeVar("Result", bound=BaseModel)


@dataclass(slots=True)
class ExternalCommandSteps:
    """The steps of one external command."""

    command: Command[Any]
    received_at: datetime
    """When the command was first received: the same on every re-run."""
    inbox: Inbox
    transactions: Transactions
    outcome: Outcome | None = None
    intended: bool = False
    """Whether `intend` was called; a command that needs no external call is recorded without an intent."""

    def key(self, label: str) -> str:
        """Build an idempotency key for one external call, the same on every re-run of this command."""
        return f"{self.command.service}:{self.command.command_id}:{label}"

    async def intend(self, plan: Callable[[UnitOfWork], Awaitable[Intent]], model: type[Intent]) -> Intent:
        """Decide what to do and commit the decision; on a re-run, return the decision of the first run.

        The first step of every external command. Raises AlreadyDecided when the command has an outcome.
        """
        self.intended = True
        async with self._begin(self.received_at) as work:
            stored = await self._find(work)
            if stored is None:
                intent = await plan(work)
                if await self.inbox.add(work, self.command, intent=intent):
                    return intent
                # Another handling inserted its intent meanwhile: roll back this plan and use that one.
                await work.undo()
                stored = await self._find(work)
        if stored is None or stored.intent is None:
            raise Unavailable("the same command is being handled elsewhere")
        self.received_at = stored.received_at
        return model.model_validate_json(orjson.dumps(stored.intent))

    async def record(self, save: Callable[[UnitOfWork], Awaitable[Result]], *first: BoundStatement) -> Result:
        """Write the result and the command's outcome in one transaction.

        `first` are the statements that `save` runs first; they are sent along with the search in the inbox.
        """
        async with self._begin(utc_now()) as work:
            work.prefetched = list(first)
            stored = await self._find(work, lock=self.intended)
            result = await save(work)
            self.outcome = succeeded(self.command, result)
            await self._settle(work, stored, self.outcome)
        return result

    async def reject(self, rejection: Rejected) -> Outcome:
        """Write a rejection as the command's outcome, unless it has one; return the stored outcome."""
        outcome = rejected(self.command.command_id, rejection)
        try:
            async with self._begin(utc_now()) as work:
                await self._settle(work, await self._find(work, lock=True), outcome)
        except AlreadyDecided as decided:
            # The rejection came from effects of the first handling of the same command.
            return decided.outcome
        except Rejected as conflict:
            return rejected(self.command.command_id, conflict)
        return outcome

    async def _find(self, work: UnitOfWork, *, lock: bool = False) -> InboxRow | None:
        stored = await self.inbox.find(work, self.command, lock=lock)
        if stored is not None and stored.outcome is not None:
            raise AlreadyDecided(outcome_of(stored))
        return stored

    async def _settle(self, work: UnitOfWork, stored: InboxRow | None, outcome: Outcome) -> None:
        if stored is None:
            self.inbox.settle(work, self.command, outcome)
        else:
            await self.inbox.finish(work, self.command, outcome)

    def _begin(self, now: datetime) -> Any:
        return self.transactions.begin(caused_by=self.command.command_id, now=now)
