"""SQLite storage of the stand-in's objects, so that they survive a restart."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import Any


class Storage:
    """Table of JSON documents by type and id, in creation order."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        # Data survives a killed process, but not a power failure, which is enough for a sandbox.
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS objects ("
            "  sequence INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT NOT NULL, id TEXT NOT NULL,"
            "  body TEXT NOT NULL, UNIQUE (type, id))"
        )

    def load(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Return every object as (type, id, object), oldest first."""
        for kind, object_id, body in self._connection.execute(
            "SELECT type, id, body FROM objects ORDER BY sequence"
        ):
            yield kind, object_id, json.loads(body)

    def save(self, changes: dict[tuple[str, str], str | None]) -> None:
        """Write all changes in one transaction: JSON, or None for a deleted object."""
        self._connection.execute("BEGIN")
        for (kind, object_id), body in changes.items():
            if body is None:
                self._connection.execute("DELETE FROM objects WHERE type = ? AND id = ?", (kind, object_id))
            else:
                self._connection.execute(
                    "INSERT INTO objects (type, id, body) VALUES (?, ?, ?)"
                    " ON CONFLICT (type, id) DO UPDATE SET body = excluded.body",
                    (kind, object_id, body),
                )
        self._connection.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
