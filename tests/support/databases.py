"""Databases that go from test to test, because making one takes longer than most tests.

After a test a database is reset to its initial state, or dropped where that is not possible.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from tests.support.servers import PostgresServer

MOST_TESTS = 40
"""Deleted rows stay on their pages for a while: after so many tests a new database is the quicker one."""
SESSION_END_MILLISECONDS = 10_000

_OURS = "oid >= 16384"
"""What Postgres itself made has lower numbers."""
_SHAPE = f"""
    SELECT md5(string_agg(part, ' ' ORDER BY part)) FROM (
        SELECT 'class ' || oid || ' ' || xmin AS part FROM pg_class WHERE {_OURS}
        UNION ALL SELECT 'attribute ' || attrelid || ' ' || xmin FROM pg_attribute WHERE attrelid >= 16384
        UNION ALL SELECT 'constraint ' || oid || ' ' || xmin FROM pg_constraint WHERE {_OURS}
        UNION ALL SELECT 'trigger ' || oid || ' ' || xmin FROM pg_trigger WHERE {_OURS}
        UNION ALL SELECT 'function ' || oid || ' ' || xmin FROM pg_proc WHERE {_OURS}
        UNION ALL SELECT 'type ' || oid || ' ' || xmin FROM pg_type WHERE {_OURS}
        UNION ALL SELECT 'schema ' || oid || ' ' || xmin FROM pg_namespace
        UNION ALL SELECT 'settings ' || setrole || ' ' || xmin FROM pg_db_role_setting
    ) AS parts
"""
"""Differs after anything was created, altered, granted or dropped: each such change writes a row anew."""
_END_SESSIONS = f"""
    SELECT pg_terminate_backend(pid, {SESSION_END_MILLISECONDS}) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
_EMPTY_ALL = f"""
    DO $empty$
    DECLARE one regclass;
    BEGIN
        -- Neither the triggers that refuse to delete nor the order of foreign keys count here.
        SET LOCAL session_replication_role = replica;
        FOR one IN SELECT oid FROM pg_class WHERE relkind = 'r' AND {_OURS} AND pg_relation_size(oid) > 0
        LOOP
            EXECUTE format('DELETE FROM %s', one);
        END LOOP;
        PERFORM setval(seqrelid, seqstart, false) FROM pg_sequence;
    END $empty$
"""
_TABLES = f"SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND {_OURS}"


@dataclass(slots=True)
class KeptDatabases:
    """Copies of one template, each used by one test at a time."""

    server: PostgresServer
    template: str
    _idle: list[_Kept] = field(default_factory=list)
    _refill: sql.Composed | None = None

    @contextlib.contextmanager
    def one(self) -> Iterator[str]:
        """Yield the owner's URL of a database that equals the template."""
        kept = self._idle.pop() if self._idle else self._new()
        try:
            yield kept.url
        finally:
            kept.tests += 1
            if kept.tests < MOST_TESTS and self._is_new_again(kept):
                self._idle.append(kept)
            else:
                self.server.drop_database(kept.url)

    def _new(self) -> _Kept:
        url = self.server.create_database(self.template)
        with psycopg.connect(url, autocommit=True) as owner:
            if self._refill is None:
                self._refill = _refill(owner)
            return _Kept(url, _shape(owner))

    def _is_new_again(self, kept: _Kept) -> bool:
        """Reset the database; return False where its tables differ from the template's."""
        assert self._refill is not None
        with psycopg.connect(kept.url, autocommit=True) as owner:
            owner.execute(_END_SESSIONS)
            if _shape(owner) != kept.shape:
                return False
            try:
                owner.execute(sql.SQL("; ").join([sql.SQL(_EMPTY_ALL), self._refill]))
            except psycopg.errors.InsufficientPrivilege:  # an owner who may not pass over triggers
                return False
        return True


@dataclass(slots=True)
class _Kept:
    url: str
    shape: str
    tests: int = 0


def _shape(owner: psycopg.Connection[tuple[str, ...]]) -> str:
    found = owner.execute(_SHAPE).fetchone()
    assert found is not None
    return found[0]


def _refill(owner: psycopg.Connection[tuple[str, ...]]) -> sql.Composed:
    """The statements that give empty tables the rows which those of a new database have."""
    statements = []
    for (name,) in owner.execute(_TABLES).fetchall():
        table = sql.SQL(name)
        found = owner.execute(
            sql.SQL("SELECT json_agg(whole_row)::text FROM {} AS whole_row").format(table)
        ).fetchone()
        if found is not None and found[0] is not None:
            insert = sql.SQL("INSERT INTO {0} SELECT * FROM json_populate_recordset(NULL::{0}, {1})")
            statements.append(insert.format(table, sql.Literal(found[0])))
    return sql.SQL("; ").join(statements)
