"""Commands that call somebody outside in three steps: intent first, call second, result third.

The intent is committed in the inbox before the call, so that a crash in between is finished by whoever meets
the row again: a caller that asks again with the same id, or the sweep. The call carries a key made from the
command's id, so that the other side does it once as well.
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
    """When the command first came in: the same on every re-run."""
    inbox: Inbox
    transactions: Transactions
    outcome: Outcome | None = None
    intended: bool = False
    """Whether the command has a row with its intent: one that needs nobody outside is recorded without."""

    def key(self, label: str) -> str:
        """An idempotency key for one call outside, the same on every re-run of this command."""
        return f"{self.command.service}:{self.command.command_id}:{label}"

    async def intend(self, plan: Callable[[UnitOfWork], Awaitable[Intent]], model: type[Intent]) -> Intent:
        """Decide what to do and commit the decision; on a re-run, what was decided the first time.

        The first step of every external command. Raises AlreadyDecided when the command has its outcome.
        """
        self.intended = True
        async with self._begin(self.received_at) as work:
            stored = await self._find(work)
            if stored is None:
                intent = await plan(work)
                if await self.inbox.add(work, self.command, intent=intent):
                    return intent
                # Planned twice at once: what was planned here is undone, the other handling's intent counts.
                await work.undo()
                stored = await self._find(work)
        if stored is None or stored.intent is None:
            raise Unavailable("the same command is being handled elsewhere")
        self.received_at = stored.received_at
        return model.model_validate_json(orjson.dumps(stored.intent))

    async def record(self, save: Callable[[UnitOfWork], Awaitable[Result]], *first: BoundStatement) -> Result:
        """Write the result and the command's outcome in one transaction.

        `first` are the statements that `save` runs first; they go along with the search for the command.
        """
        async with self._begin(utc_now()) as work:
            work.prefetched = list(first)
            stored = await self._find(work, lock=self.intended)
            result = await save(work)
            self.outcome = succeeded(self.command, result)
            await self._settle(work, stored, self.outcome)
        return result

    async def reject(self, rejection: Rejected) -> Outcome:
        """Write a rejection as the command's outcome, unless it has one; gives the one that counts."""
        outcome = rejected(self.command.command_id, rejection)
        try:
            async with self._begin(utc_now()) as work:
                await self._settle(work, await self._find(work, lock=True), outcome)
        except AlreadyDecided as decided:
            # It was refused over what its own first handling has done.
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
