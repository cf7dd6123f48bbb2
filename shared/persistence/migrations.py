"""Alembic for all services: each has its own history in its own schema, applied by the database's owner."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command, context, op
from alembic.config import Config

from shared.persistence.partitions import install, is_partition
from shared.persistence.plumbing_tables import NAMING, add_plumbing

ROOT = Path(__file__).resolve().parents[2]


def service_names() -> list[str]:
    """List the services that have tables, which are those with migrations."""
    return sorted(path.parts[-3] for path in (ROOT / "services").glob("*/migrations/env.py"))


def migrate(engine: sa.Engine, service: str) -> None:
    """Upgrade one service's schema to its newest migration."""
    config = alembic_config(service)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def alembic_config(service: str) -> Config:
    """Build Alembic's configuration for one service's `migrations` folder."""
    config = Config()
    config.set_main_option("script_location", str(ROOT / "services" / service / "migrations"))
    config.set_main_option("version_locations", str(ROOT / "services" / service / "migrations" / "versions"))
    config.set_main_option("path_separator", "newline")
    return config


def run(metadata: sa.MetaData) -> None:
    """Run a service's migrations in its own schema; called by its `migrations/env.py`."""
    connection = context.config.attributes["connection"]
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table="migrations",
        version_table_schema=metadata.schema,
        include_schemas=True,
        include_name=lambda name, kind, _: _is_declared(name, kind, metadata),
        compare_server_default=False,
    )
    with context.begin_transaction():
        context.run_migrations()
    install(connection, metadata)


def _is_declared(name: str | None, kind: str, metadata: sa.MetaData) -> bool:
    """Whether autogenerate compares an object found in the database with the declared tables."""
    if kind == "schema":
        return name == metadata.schema
    return kind != "table" or not is_partition(name, metadata)


def create_plumbing_tables(schema: str) -> None:
    """Create inbox, outbox and the relay's position; called by a service's first migration."""
    metadata = sa.MetaData(schema=schema, naming_convention=NAMING)
    add_plumbing(metadata)
    metadata.create_all(op.get_bind())
    op.execute(f"INSERT INTO {schema}.relay_position DEFAULT VALUES")
