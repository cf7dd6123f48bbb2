"""A database that is reused by the next test has nothing left of the one before."""

from typing import Any

import psycopg
import pytest

from tests.support.databases import MOST_TESTS, KeptDatabases
from tests.support.servers import PostgresServer, database_name

TELLS = """
    INSERT INTO webhooks.outbox (message_id, stream, subject, headers, payload, caused_by, occurred_at)
    VALUES ('m', 's', 'x', '{}', '', 'test', now())
"""
GIVES = """
    INSERT INTO consumables.entries
        (entry_id, account, feature, grant_id, kind, quantity, caused_by, occurred_at)
    VALUES ('entry_1', 'team:team_1', 'hours', 'grant_1', 'granted', 5, 'test', now())
"""
TABLES = "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND oid >= 16384"


@pytest.fixture
def databases(postgres: PostgresServer, service_template: str) -> KeptDatabases:
    return KeptDatabases(postgres, service_template)


def contents(url: str) -> dict[str, list[str]]:
    """Every row of every table of ours."""
    with psycopg.connect(url) as owner:
        names = [str(name) for (name,) in owner.execute(TABLES).fetchall()]
        return {
            name: sorted(map(str, owner.execute(f"SELECT * FROM {name}".encode()).fetchall()))
            for name in names
        }


def next_number(url: str) -> Any:
    with psycopg.connect(url) as owner:
        owner.execute(TELLS)
        return owner.execute("SELECT max(id) FROM webhooks.outbox").fetchone()


def test_rows_are_gone_and_those_of_a_new_database_are_back(databases: KeptDatabases) -> None:
    with databases.one() as url:
        before = contents(url)
        assert {name.rpartition(".")[2] for name, rows in before.items() if rows} == {
            "migrations",
            "partitions",
            "relay_position",
            "catalog_state",
        }
        assert next_number(url) == (1,)
        with psycopg.connect(url) as owner:
            owner.execute(GIVES)  # into a table whose trigger refuses to delete
            owner.execute("UPDATE webhooks.relay_position SET published = '9:9:'")
            owner.execute("DELETE FROM subscriptions.catalog_state")
        assert contents(url) != before
    with databases.one() as again:
        assert again == url
        assert contents(again) == before
        assert next_number(again) == (1,)


def test_nobody_of_the_test_before_is_still_there(databases: KeptDatabases) -> None:
    with databases.one() as url:
        lingering = psycopg.connect(url)
        lingering.execute(TELLS)
    with databases.one() as again:
        assert again == url
        with pytest.raises(psycopg.OperationalError):
            lingering.commit()
        assert contents(again)["webhooks.migrations"]
        assert next_number(again) == (1,)
    lingering.close()


@pytest.mark.parametrize(
    "change",
    [
        "CREATE TABLE webhooks.more (id int)",
        "ALTER TABLE webhooks.inbox ADD COLUMN more int",
        "ALTER TABLE consumables.entries DISABLE TRIGGER append_only",
        "CREATE INDEX ON webhooks.stripe_events (type)",
        "GRANT SELECT ON webhooks.inbox TO tallystick_seats",
        "GRANT SELECT (command_id) ON webhooks.inbox TO tallystick_seats",
        "REVOKE USAGE ON SCHEMA webhooks FROM tallystick_webhooks",
        "CREATE OR REPLACE FUNCTION consumables.refuse_change() RETURNS trigger LANGUAGE plpgsql "
        "AS 'BEGIN RETURN NULL; END'",
        "ALTER ROLE tallystick_webhooks IN DATABASE {database} SET work_mem = '1MB'",
    ],
)
def test_other_tables_are_for_one_test_only(databases: KeptDatabases, change: str) -> None:
    with databases.one() as url, psycopg.connect(url) as owner:
        owner.execute(change.replace("{database}", database_name(url)).encode())
    with databases.one() as another:
        assert another != url


def test_no_database_is_used_for_ever(databases: KeptDatabases) -> None:
    used = set()
    for _ in range(MOST_TESTS + 1):
        with databases.one() as url:
            used.add(url)
    assert len(used) == 2
