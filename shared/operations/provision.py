"""Provisioning, before any worker starts: roles, schemas, migrations and streams.

Run as `python -m shared.operations.provision` with the database's owner in DATABASE_URL and the NATS user
`admin` in NATS_URL. Running it again changes nothing. Each service's password comes from
TALLYSTICK_<SERVICE>_DATABASE_PASSWORD.
"""

import asyncio
import importlib
import os
import sys

import httpx
import psycopg
import sqlalchemy as sa
import structlog
from psycopg import sql

from shared.messaging.nats_connection import as_user, connect
from shared.observability.logging_setup import set_up_logs
from shared.operations.jetstream_layout import Layout, apply_copies, apply_layout, load_layout
from shared.operations.restore_repair import renumber_after_restore
from shared.persistence.migrations import ROOT, migrate, service_names
from shared.persistence.partitions import MAINTENANCE_FUNCTION, PARTITIONS_TABLE
from shared.settings import Settings, sqlalchemy_url
from shared.tuning import DATABASE_CONNECTIONS_PER_WORKER, WORKER_REPLICAS_DEFAULT
from tallystick.subjects import DEFAULT_WEBHOOK_SUBJECT

log = structlog.get_logger()

ADMIN, READERS = "admin", "readers"
"""The NATS users that create the streams and their copies. A server without accounts has no copies."""
LAYOUT_PATH = ROOT / "deploy" / "streams.yaml"
APPEND_ONLY_TABLES = ("outbox",)
"""Tables to which a service may only add rows: the audit trail."""
GUARDED_TABLES = """
    SELECT DISTINCT relname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
    WHERE tgname = 'append_only' AND relnamespace = %s::regnamespace
"""
"""Selects a service's own append-only tables, which are those with a trigger of this name."""
PARTITIONS = """
    SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r' AND relnamespace = %s::regnamespace
"""
READ_ONLY_TABLES = ("migrations", PARTITIONS_TABLE)
REPLICAS = "WORKER_REPLICAS"
"""The environment variable with the number of workers of one service that may run at a time."""
WORKER_REPLICAS_MAX = 1_000
"""With more workers Postgres needs a connection pooler, and this limit has no meaning."""


class ProvisionSettings(Settings):
    """The settings of provisioning; a field's name in capitals is its environment variable."""

    webhook_subject: str = DEFAULT_WEBHOOK_SUBJECT


def role_name(service: str) -> str:
    """Return the name of a service's Postgres role."""
    return f"tallystick_{service}"


def password_variable(service: str) -> str:
    """Return the environment variable with the password of a service's Postgres role."""
    return f"TALLYSTICK_{service.upper()}_DATABASE_PASSWORD"


def provision_database(
    database_url: str, passwords: dict[str, str], *, replicas: int = WORKER_REPLICAS_DEFAULT
) -> None:
    """Create a role and a schema for each service, and run its migrations as the owner.

    The role gets only the privileges it needs, and as many connections as `replicas` workers use.
    """
    engine = sa.create_engine(sqlalchemy_url(database_url))
    try:
        for service, password in passwords.items():
            with psycopg.connect(database_url) as connection:
                _prepare_role(connection, service, password, replicas)
            migrate(engine, service)
            with psycopg.connect(database_url) as connection:
                _grant(connection, service)
                _restrict(connection, service)
                if renumber_after_restore(connection, service):
                    log.warning("restored from a dump: transaction ids numbered anew", service=service)
            log.info("schema ready", service=service, role=role_name(service))
    finally:
        engine.dispose()


def _prepare_role(
    connection: psycopg.Connection[tuple[object, ...]], service: str, password: str, replicas: int
) -> None:
    role, schema = sql.Identifier(role_name(service)), sql.Identifier(service)
    known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role_name(service),)).fetchone()
    verb = sql.SQL("ALTER" if known else "CREATE")
    # A service that leaks connections must not use up those of the others.
    limit = sql.Literal(replicas * DATABASE_CONNECTIONS_PER_WORKER)
    connection.execute(
        sql.SQL("{} ROLE {} LOGIN PASSWORD {} CONNECTION LIMIT {}").format(
            verb, role, sql.Literal(password), limit
        )
    )
    connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(schema))
    connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    connection.execute(sql.SQL("REVOKE ALL ON SCHEMA {} FROM PUBLIC").format(schema))


def _grant(connection: psycopg.Connection[tuple[object, ...]], service: str) -> None:
    role, schema = sql.Identifier(role_name(service)), sql.Identifier(service)
    statements = [
        "GRANT USAGE ON SCHEMA {schema} TO {role}",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}",
        "GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {role}",
        *(f"REVOKE UPDATE, DELETE ON {{schema}}.{table} FROM {{role}}" for table in APPEND_ONLY_TABLES),
        *(f"REVOKE INSERT, UPDATE, DELETE ON {{schema}}.{table} FROM {{role}}" for table in READ_ONLY_TABLES),
        f"GRANT EXECUTE ON FUNCTION {{schema}}.{MAINTENANCE_FUNCTION}() TO {{role}}",
    ]
    for statement in statements:
        connection.execute(sql.SQL(statement).format(schema=schema, role=role))
    for (table,) in connection.execute(GUARDED_TABLES, (service,)).fetchall():
        statement = "REVOKE UPDATE, DELETE ON {schema}.{table} FROM {role}"
        named = sql.Identifier(str(table))
        connection.execute(sql.SQL(statement).format(schema=schema, table=named, role=role))
    # Partitions are used through their table; direct access would bypass its privileges.
    for (partition,) in connection.execute(PARTITIONS, (service,)).fetchall():
        statement = "REVOKE ALL ON {schema}.{partition} FROM {role}"
        named = sql.Identifier(str(partition))
        connection.execute(sql.SQL(statement).format(schema=schema, partition=named, role=role))


def _restrict(connection: psycopg.Connection[tuple[object, ...]], service: str) -> None:
    """Revoke the privileges that a service's `privileges.py` excludes."""
    if not (ROOT / "services" / service / "privileges.py").exists():
        return
    privileges = importlib.import_module(f"services.{service}.privileges")
    role, schema = sql.Identifier(role_name(service)), sql.Identifier(service)
    for table in privileges.WRITTEN_BY_OWNER:
        statement = sql.SQL("REVOKE INSERT, UPDATE, DELETE ON {}.{} FROM {}")
        connection.execute(statement.format(schema, sql.Identifier(table), role))
    for table, columns in privileges.CHANGEABLE_COLUMNS.items():
        named = sql.Identifier(table)
        connection.execute(sql.SQL("REVOKE UPDATE, DELETE ON {}.{} FROM {}").format(schema, named, role))
        changeable = sql.SQL(", ").join(map(sql.Identifier, columns))
        connection.execute(
            sql.SQL("GRANT UPDATE ({}) ON {}.{} TO {}").format(changeable, schema, named, role)
        )


async def provision_nats(
    nats_url: str, *, prefix: str, webhook_subject: str, monitor_url: str | None
) -> None:
    """Create or update streams, buckets, consumers and schedules."""
    if monitor_url is not None:
        await check_sync_always(monitor_url)
    layout = load_layout(LAYOUT_PATH, prefix=prefix, webhook_subject=webhook_subject)
    await provision_streams(nats_url, layout)
    log.info("streams ready", streams=len(layout.streams), consumers=len(layout.consumers))


async def provision_streams(nats_url: str, layout: Layout) -> None:
    """Apply a layout as the NATS user `admin`, and create the readers' copies as `readers`."""
    connection = await connect(nats_url, "provision")
    try:
        await apply_layout(connection, layout)
        readers_url = as_user(nats_url, ADMIN, READERS)
        if readers_url != nats_url:
            readers = await connect(readers_url, "provision")
            try:
                await apply_copies(readers, connection, layout)
            finally:
                await readers.close()
    finally:
        await connection.close()


async def check_sync_always(monitor_url: str) -> None:
    """Exit with an error if JetStream acknowledges a message before it is on disk."""
    async with httpx.AsyncClient(base_url=monitor_url) as client:
        answer = (await client.get("/varz")).json()
    if not answer.get("jetstream", {}).get("config", {}).get("sync_always", False):
        raise SystemExit(
            "NATS acknowledges before writing to disk: set `sync_interval: always` in its jetstream block."
        )


def _replicas(setting: str | None) -> int:
    if not setting:
        return WORKER_REPLICAS_DEFAULT
    if not setting.isascii() or not setting.isdigit() or not 0 < int(setting) <= WORKER_REPLICAS_MAX:
        sys.exit(f"{REPLICAS} is a number from 1 to {WORKER_REPLICAS_MAX}.")
    return int(setting)


def main() -> None:
    """Provision the installation that the environment names."""
    settings = ProvisionSettings()
    set_up_logs("provision", style=settings.log_format, level=settings.log_level)
    missing = [
        password_variable(service)
        for service in service_names()
        if not os.environ.get(password_variable(service))
    ]
    if missing:
        sys.exit(f"Set {', '.join(missing)}: the passwords of the services' Postgres roles.")
    passwords = {service: os.environ[password_variable(service)] for service in service_names()}
    provision_database(
        settings.database_url.get_secret_value(), passwords, replicas=_replicas(os.environ.get(REPLICAS))
    )
    asyncio.run(
        provision_nats(
            settings.nats_url.get_secret_value(),
            prefix=settings.subject_prefix,
            webhook_subject=settings.webhook_subject,
            monitor_url=os.environ.get("NATS_MONITOR_URL"),
        )
    )


if __name__ == "__main__":
    main()
