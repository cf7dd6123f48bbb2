"""The inbox: each command once, with what it asked for and what became of it.

A row is written in the transaction of the command's effect. For commands that call somebody outside, it is
written before the call, with the intent, and finished after it.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from pydantic import BaseModel

from shared.errors import Rejected, Unavailable
from shared.persistence.sql_pipeline import Statement, in_schema
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages.base import Command, ErrorBody, Outcome

NOT_CONTENT = {"command_id", "requested_by"}
"""Fields that do not make a command another command."""


@dataclass(frozen=True, slots=True)
class InboxRow:
    """A command that came in before."""

    fingerprint: bytes
    received_at: datetime
    intent: Any
    """As JSON says it; None where the command has none."""
    outcome: Any
    """As JSON says it; None while the command has none."""


@dataclass(frozen=True, slots=True)
class KnownCommand:
    """A command that came in before; the outcome as it was written, None while it has none."""

    fingerprint: bytes
    outcome: bytes | None


@dataclass(frozen=True, slots=True)
class DecidedCommand:
    """A command and what became of it, both as JSON."""

    command: Command[Any]
    fingerprint: bytes
    body: bytes
    outcome: bytes


class AlreadyDecided(Exception):
    """Another handling of the same command was first; carries the outcome that counts."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__("the command has its outcome already")
        self.outcome = outcome


FIND = "SELECT fingerprint, received_at, intent, outcome FROM {schema}.inbox WHERE command_id = $1"
FIND_AND_LOCK = FIND + " FOR UPDATE"
# Whoever has looked for a command before, and found none, keeps the youngest partition from changing until
# the end (`shared.persistence.partitions`): there its primary key lets one handling in.
ADD = """
    INSERT INTO {schema}.inbox (command_id, name, fingerprint, body, received_at, intent, outcome)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
ADD_UNLESS_KNOWN = ADD + " ON CONFLICT DO NOTHING"
FIND_MANY = """
    SELECT command_id, fingerprint, outcome::text FROM {schema}.inbox
    WHERE command_id = ANY (ARRAY(SELECT jsonb_array_elements_text($1::jsonb)))
"""
# As one JSON parameter: arrays and placeholders cost eight times as much. In one order, so that two who
# settle the same commands wait for each other and not in a circle.
ADD_MANY = """
    INSERT INTO {schema}.inbox (command_id, name, fingerprint, body, received_at, outcome)
    SELECT id, name, decode(print, 'hex'), body::json, $1::timestamptz, outcome::json
    FROM jsonb_to_recordset($2::jsonb) AS new(id text, name text, print text, body text, outcome text)
    ORDER BY id
"""
FINISH = "UPDATE {schema}.inbox SET outcome = $1 WHERE command_id = $2"


@dataclass(frozen=True, slots=True)
class Inbox:
    """Reads and writes one service's inbox, past SQLAlchemy: it is on the way of every command."""

    schema: str

    async def find(self, work: UnitOfWork, command: Command[Any], *, lock: bool = False) -> InboxRow | None:
        """The row of a command that came in before.

        Raises Rejected `idempotency_conflict` when it came with other content.
        """
        finding = self._sql(FIND_AND_LOCK if lock else FIND)
        (found,) = await work.run(finding(command.command_id))
        if not found.rows:
            return None
        row = found.rows[0]
        if row[0] != fingerprint(command):
            raise idempotency_conflict(command.command_id)
        return InboxRow(*row)

    async def add(self, work: UnitOfWork, command: Command[Any], *, intent: BaseModel) -> bool:
        """Write a command's row before its outcome; False when another handling of it has written one."""
        adding = self._sql(ADD_UNLESS_KNOWN)
        (added,) = await work.run(adding(*_row(work, command, intent, None)))
        return added.changed == 1

    def settle(self, work: UnitOfWork, command: Command[Any], outcome: Outcome) -> None:
        """Store a new command with its outcome when the work ends; the command was looked for before.

        The end of the work raises ConcurrentDuplicate, which undoes it, when another handling was first.
        """
        work.claims.append(self._sql(ADD)(*_row(work, command, None, outcome)))

    async def find_many(self, work: UnitOfWork, command_ids: Sequence[str]) -> dict[str, KnownCommand]:
        """Those of many commands that came in before, by their ids."""
        (found,) = await work.run(self._sql(FIND_MANY)(orjson.dumps(command_ids).decode()))
        return {
            row[0]: KnownCommand(bytes(row[1]), None if row[2] is None else row[2].encode())
            for row in found.rows
        }

    def settle_many(self, work: UnitOfWork, decided: Sequence[DecidedCommand]) -> None:
        """Store new commands with their outcomes when the work ends; the same as `settle` for several."""
        if not decided:
            return
        rows = [
            {
                "id": one.command.command_id,
                "name": one.command.name,
                "print": one.fingerprint.hex(),
                "body": _kept(one),
                "outcome": one.outcome.decode(),
            }
            for one in decided
        ]
        work.claims.append(self._sql(ADD_MANY)(work.now, orjson.dumps(rows).decode()))

    async def finish(self, work: UnitOfWork, command: Command[Any], outcome: Outcome) -> None:
        """Write the outcome of a command whose row is there, locked by this work."""
        await work.run(self._sql(FINISH)(outcome.model_dump_json(), command.command_id))

    def _sql(self, text: str) -> Statement:
        return in_schema(self.schema, text)


def _row(
    work: UnitOfWork, command: Command[Any], intent: BaseModel | None, outcome: Outcome | None
) -> tuple[Any, ...]:
    return (
        command.command_id,
        command.name,
        fingerprint(command),
        command.model_dump_json(exclude=set(command.secrets)),
        work.now,
        intent.model_dump_json() if intent else None,
        outcome.model_dump_json() if outcome else None,
    )


def _kept(decided: DecidedCommand) -> str:
    secrets = decided.command.secrets
    if secrets:
        return decided.command.model_dump_json(exclude=set(secrets))
    return decided.body.decode()


def outcome_json(command_id: str, result: "BaseModel | bytes | Rejected") -> bytes:
    """A final outcome as it is stored and sent; a result may have been written already."""
    identity = orjson.dumps(command_id)
    if isinstance(result, Rejected):
        error = result.error.model_dump_json().encode()
        return b'{"command_id":%b,"status":"rejected","error":%b}' % (identity, error)
    written = result if isinstance(result, bytes) else result.model_dump_json().encode()
    return b'{"command_id":%b,"status":"succeeded","result":%b}' % (identity, written)


def outcome_of(stored: InboxRow) -> Outcome:
    """The outcome of a stored command; raises Unavailable while it has none."""
    if stored.outcome is None:
        raise Unavailable("the same command is being handled elsewhere")
    return Outcome.model_validate(stored.outcome)


def succeeded(command: Command[Any], result: BaseModel) -> Outcome:
    """The outcome of a command that took effect."""
    # Not checked again: it was made by one of our models.
    return Outcome.model_construct(
        command_id=command.command_id, status="succeeded", result=result.model_dump(mode="json")
    )


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


def fingerprint(command: Command[Any]) -> bytes:
    """Return 32 bytes that are equal only for the same command with the same content."""
    content = {"name": command.name, "fields": command.model_dump(exclude=NOT_CONTENT)}
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).digest()
