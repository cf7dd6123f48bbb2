"""SQLite storage of caught mails, so that they survive a restart."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime

MESSAGES_MAX = 20_000
"""The oldest mails are dropped beyond this: about 400 MB of typical mails."""
TRIM_EVERY = 500


@dataclass(frozen=True, slots=True)
class CaughtMail:
    """A mail as it came in."""

    number: int
    received_at: str
    sender: str
    recipients: str
    """Addresses of the envelope, separated by commas."""
    content: bytes


class Storage:
    """Table of caught mails, in the order they came."""

    def __init__(self, path: str | None) -> None:
        """Open the file, or keep mails in memory only."""
        self._connection = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
        # Mails survive a killed process, but not a power failure, which is enough for a sandbox.
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS mails ("
            "  number INTEGER PRIMARY KEY AUTOINCREMENT, received_at TEXT NOT NULL, sender TEXT NOT NULL,"
            "  recipients TEXT NOT NULL, subject TEXT NOT NULL, content BLOB NOT NULL)"
        )

    def add(self, sender: str, recipients: list[str], subject: str, content: bytes) -> None:
        """Store a mail."""
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        cursor = self._connection.execute(
            "INSERT INTO mails (received_at, sender, recipients, subject, content) VALUES (?, ?, ?, ?, ?)",
            (now, sender, ",".join(recipients), subject, content),
        )
        if (cursor.lastrowid or 0) % TRIM_EVERY == 0:
            self._connection.execute(
                "DELETE FROM mails WHERE number <= ?", ((cursor.lastrowid or 0) - MESSAGES_MAX,)
            )

    def search(self, to: str = "", subject: str = "", limit: int = 200) -> list[CaughtMail]:
        """Return mails whose recipient and subject contain the words, newest first."""
        rows = self._connection.execute(
            "SELECT number, received_at, sender, recipients, content FROM mails"
            " WHERE instr(lower(recipients), lower(?)) AND instr(lower(subject), lower(?))"
            " ORDER BY number DESC LIMIT ?",
            (to, subject, limit),
        )
        return [CaughtMail(*row) for row in rows]

    def find(self, number: int) -> CaughtMail | None:
        """Return one mail."""
        row = self._connection.execute(
            "SELECT number, received_at, sender, recipients, content FROM mails WHERE number = ?", (number,)
        ).fetchone()
        return CaughtMail(*row) if row else None

    def clear(self) -> None:
        """Delete all mails."""
        self._connection.execute("DELETE FROM mails")

    def count(self) -> int:
        """Return the number of stored mails."""
        return int(self._connection.execute("SELECT count(*) FROM mails").fetchone()[0])
