"""The inbox: one row for each command, with its content and its outcome; it makes commands idempotent.

The row is written in the transaction of the command's effect. For external commands it is written before the
external call, with the intent, and gets its outcome after the call.
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

FINGERPRINT_EXCLUDES = {"command_id", "requested_by"}
"""Fields that may differ between two sendings of the same command."""


@dataclass(frozen=True, slots=True)
class InboxRow:
    """The stored row of a command that was received before."""

    fingerprint: bytes
    received_at: datetime
    intent: Any
    """Decoded JSON; None for a command without an intent."""
    outcome: Any
    """Decoded JSON; None while the command has no outcome."""


@dataclass(frozen=True, slots=True)
class KnownCommand:
    """A command that was received before; `outcome` is JSON as stored, None while there is none."""

    fingerprint: bytes
    outcome: bytes | None


@dataclass(frozen=True, slots=True)
class DecidedCommand:
    """A command that is to be stored with its outcome; `body` and `outcome` are JSON."""

    command: Command[Any]
    fingerprint: bytes
    body: bytes
    outcome: bytes


class AlreadyDecided(Exception):
    """The command has an outcome already, from another handling; carries that outcome."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__("the command has its outcome already")
        self.outcome = outcome


FIND = "SELECT fingerprint, received_at, intent, outcome FROM {schema}.inbox WHERE command_id = $1"
FIND_AND_LOCK = FIND + " FOR UPDATE"
# A transaction that searched for the command holds a lock that keeps the newest partition the newest
# (`shared.persistence.partitions`), so the primary key of that partition rejects a second handling.
ADD = """
    INSERT INTO {schema}.inbox (command_id, name, fingerprint, body, received_at, intent, outcome)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
ADD_UNLESS_KNOWN = ADD + " ON CONFLICT DO NOTHING"
FIND_MANY = """
    SELECT command_id, fingerprint, outcome::text FROM {schema}.inbox
    WHERE command_id = ANY (ARRAY(SELECT jsonb_array_elements_text($1::jsonb)))
"""
# One JSON parameter: arrays and placeholders cost eight times as much. Sorted by id, so that two transactions
# which store the same commands cannot deadlock.
ADD_MANY = """
    INSERT INTO {schema}.inbox (command_id, name, fingerprint, body, received_at, outcome)
    SELECT id, name, decode(print, 'hex'), body::json, $1::timestamptz, outcome::json
    FROM jsonb_to_recordset($2::jsonb) AS new(id text, name text, print text, body text, outcome text)
    ORDER BY id
"""
FINISH = "UPDATE {schema}.inbox SET outcome = $1 WHERE command_id = $2"


@dataclass(frozen=True, slots=True)
class Inbox:
    """Reads and writes one service's inbox, without SQLAlchemy because every command goes through it."""

    schema: str

    async def find(self, work: UnitOfWork, command: Command[Any], *, lock: bool = False) -> InboxRow | None:
        """Find the row of a command that was received before; None for a new one.

        Raises Rejected `idempotency_conflict` when it was received with other content.
        """
        select = self._sql(FIND_AND_LOCK if lock else FIND)
        (found,) = await work.run(select(command.command_id))
        if not found.rows:
            return None
        row = found.rows[0]
        if row[0] != fingerprint(command):
            raise idempotency_conflict(command.command_id)
        return InboxRow(*row)

    async def add(self, work: UnitOfWork, command: Command[Any], *, intent: BaseModel) -> bool:
        """Insert a command's row before its outcome is known; False if another handling inserted it."""
        insert = self._sql(ADD_UNLESS_KNOWN)
        (inserted,) = await work.run(insert(*_insert_values(work, command, intent, None)))
        return inserted.changed == 1

    def settle(self, work: UnitOfWork, command: Command[Any], outcome: Outcome) -> None:
        """Store a new command with its outcome at the end of the transaction; `find` must have been called.

        If another handling was first, the end of the transaction raises ConcurrentDuplicate and rolls back.
        """
        work.claims.append(self._sql(ADD)(*_insert_values(work, command, None, outcome)))

    async def find_many(self, work: UnitOfWork, command_ids: Sequence[str]) -> dict[str, KnownCommand]:
        """Find the commands that were received before, by command id."""
        (found,) = await work.run(self._sql(FIND_MANY)(orjson.dumps(command_ids).decode()))
        return {
            row[0]: KnownCommand(bytes(row[1]), None if row[2] is None else row[2].encode())
            for row in found.rows
        }

    def settle_many(self, work: UnitOfWork, decided: Sequence[DecidedCommand]) -> None:
        """Store new commands with their outcomes at the end of the transaction, as `settle` does for one."""
        if not decided:
            return
        rows = [
            {
                "id": one.command.command_id,
                "name": one.command.name,
                "print": one.fingerprint.hex(),
                "body": _stored_body(one),
                "outcome": one.outcome.decode(),
            }
            for one in decided
        ]
        work.claims.append(self._sql(ADD_MANY)(work.now, orjson.dumps(rows).decode()))

    async def finish(self, work: UnitOfWork, command: Command[Any], outcome: Outcome) -> None:
        """Write the outcome of a command whose row exists and is locked by this transaction."""
        await work.run(self._sql(FINISH)(outcome.model_dump_json(), command.command_id))

    def _sql(self, text: str) -> Statement:
        return in_schema(self.schema, text)


def _insert_values(
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


def _stored_body(decided: DecidedCommand) -> str:
    secrets = decided.command.secrets
    if secrets:
        return decided.command.model_dump_json(exclude=set(secrets))
    return decided.body.decode()


def outcome_json(command_id: str, result: "BaseModel | bytes | Rejected") -> bytes:
    """Encode a final outcome as JSON; a result given as bytes is JSON already."""
    identity = orjson.dumps(command_id)
    if isinstance(result, Rejected):
        error = result.error.model_dump_json().encode()
        return b'{"command_id":%b,"status":"rejected","error":%b}' % (identity, error)
    encoded = result if isinstance(result, bytes) else result.model_dump_json().encode()
    return b'{"command_id":%b,"status":"succeeded","result":%b}' % (identity, encoded)


def outcome_of(stored: InboxRow) -> Outcome:
    """Return the outcome of a stored command; raises Unavailable while it has none."""
    if stored.outcome is None:
        raise Unavailable("the same command is being handled elsewhere")
    return Outcome.model_validate(stored.outcome)


def succeeded(command: Command[Any], result: BaseModel) -> Outcome:
    """Build the outcome of a command that took effect."""
    # Not validated again: the result is one of our models.
    return Outcome.model_construct(
        command_id=command.command_id, status="succeeded", result=result.model_dump(mode="json")
    )


def rejected(command_id: str | None, rejection: Rejected) -> Outcome:
    """Build the outcome of a command or question that was rejected."""
    return Outcome(command_id=command_id, status="rejected", error=rejection.error)


def failed(command_id: str | None, message: str) -> Outcome:
    """Build the outcome `failed`: it is unknown what happened, and the caller may retry with the same id."""
    return Outcome(
        command_id=command_id, status="failed", error=ErrorBody(code="unavailable", message=message)
    )


def idempotency_conflict(command_id: str) -> Rejected:
    """Build the rejection of a command id that was used before with other content."""
    return Rejected(
        "idempotency_conflict",
        "This command_id was used before with other content. Choose a new one for a new command.",
        {"command_id": command_id},
    )


def fingerprint(command: Command[Any]) -> bytes:
    """Hash a command's name and content (32 bytes), without the fields in FINGERPRINT_EXCLUDES."""
    content = {"name": command.name, "fields": command.model_dump(exclude=FINGERPRINT_EXCLUDES)}
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).digest()
