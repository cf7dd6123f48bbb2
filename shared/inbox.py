"""The inbox: each command once, with what it asked for and what became of it.

A row is written in the transaction of the command's effect. For commands that call somebody outside, it is
written before the call, with the intent, and finished after it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel
from sqlalchemy.dialects.postgresql import insert

from shared.codec import fingerprint
from shared.faults import Rejected, Unavailable
from shared.work import Work
from tallystick.messages.base import Command, ErrorBody, Outcome


@dataclass(frozen=True, slots=True)
class Stored:
    """A command that came in before."""

    fingerprint: bytes
    received_at: datetime
    intent: Any
    outcome: Any


class AlreadyDecided(Exception):
    """Another handling of the same command was first; carries the outcome that counts."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__("the command has its outcome already")
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class Inbox:
    """Reads and writes one service's inbox table."""

    table: sa.Table

    async def find(self, work: Work, command: Command[Any], *, lock: bool = False) -> Stored | None:
        """The row of a command that came in before.

        Raises Rejected `idempotency_conflict` when it came with other content.
        """
        columns = self.table.c
        query = sa.select(columns.fingerprint, columns.received_at, columns.intent, columns.outcome)
        query = query.where(columns.command_id == command.command_id)
        row = (await work.session.execute(query.with_for_update() if lock else query)).one_or_none()
        if row is None:
            return None
        if row.fingerprint != fingerprint(command):
            raise idempotency_conflict(command.command_id)
        return Stored(row.fingerprint, row.received_at, row.intent, row.outcome)

    async def add(
        self,
        work: Work,
        command: Command[Any],
        *,
        intent: BaseModel | None = None,
        outcome: Outcome | None = None,
    ) -> bool:
        """Write a command's row.

        False when it is there already (from another handling of the same command).
        """
        statement = (
            insert(self.table)
            .values(
                command_id=command.command_id,
                name=command.name,
                fingerprint=fingerprint(command),
                body=command.model_dump(mode="json"),
                received_at=work.now,
                intent=sa.null() if intent is None else intent.model_dump(mode="json"),
                outcome=sa.null() if outcome is None else outcome.model_dump(mode="json"),
            )
            .on_conflict_do_nothing()
            .returning(self.table.c.command_id)
        )
        return (await work.session.execute(statement)).one_or_none() is not None

    async def settle(self, work: Work, command: Command[Any], outcome: Outcome) -> None:
        """Store a new command with its outcome.

        Raises AlreadyDecided, which undoes the work, when another handling of the same command was first.
        """
        if await self.add(work, command, outcome=outcome):
            return
        stored = await self.find(work, command)
        if stored is None:
            raise Unavailable("the same command is being handled elsewhere")
        raise AlreadyDecided(outcome_of(stored))

    async def finish(self, work: Work, command: Command[Any], outcome: Outcome) -> None:
        """Write the outcome of a command whose row is there, locked by this work."""
        await work.session.execute(
            sa.update(self.table)
            .where(self.table.c.command_id == command.command_id)
            .values(outcome=outcome.model_dump(mode="json"))
        )


def outcome_of(stored: Stored) -> Outcome:
    """The outcome of a stored command; raises Unavailable while it has none."""
    if stored.outcome is None:
        raise Unavailable("the same command is being handled elsewhere")
    return Outcome.model_validate(stored.outcome)


def succeeded(command: Command[Any], result: BaseModel) -> Outcome:
    """The outcome of a command that took effect."""
    return Outcome(command_id=command.command_id, status="succeeded", result=result.model_dump(mode="json"))


def rejected(command_id: str | None, rejection: Rejected) -> Outcome:
    """The outcome of a command or question that was refused."""
    return Outcome(command_id=command_id, status="rejected", error=rejection.error)


def failed(command_id: str | None, message: str) -> Outcome:
    """What a caller hears when we cannot tell; may be asked again with the same id."""
    return Outcome(
        command_id=command_id, status="failed", error=ErrorBody(code="unavailable", message=message)
    )


def idempotency_conflict(command_id: str) -> Rejected:
    """The rejection of a command id that was used before with other content."""
    return Rejected(
        "idempotency_conflict",
        "This command_id was used before with other content. Choose a new one for a new command.",
        {"command_id": command_id},
    )
