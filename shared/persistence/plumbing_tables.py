"""The tables that every service has in its own schema: inbox, outbox and relay position."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Identity,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSON, JSONB
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.types import UserDefinedType

from shared.persistence.partitions import (
    CARRIED_ROWS,
    RetentionPolicy,
    generation_column,
    open_on_creation,
    partitioned_by_generation,
    partitions_table,
)
from shared.tuning import INBOX_KEPT_DAYS, OUTBOX_KEPT_DAYS

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Xid8(UserDefinedType[int]):
    """Postgres' 64-bit transaction id."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """The type's name in DDL."""
        return "xid8"


class Snapshot(UserDefinedType[str]):
    """Postgres' snapshot: which transactions were finished at one moment."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """The type's name in DDL."""
        return "pg_snapshot"


# For reflection, which Alembic uses to compare the schema.
ischema_names["xid8"] = Xid8
ischema_names["pg_snapshot"] = Snapshot

TYPES: dict[Any, Any] = {
    datetime: DateTime(timezone=True),
    dict[str, Any]: JSONB,
    list[Any]: JSONB,
    str: Text,
    int: BigInteger,
    bytes: LargeBinary,
}
"""Column types for Python types: the `type_annotation_map` of every service's row classes."""


INBOX_RETENTION = RetentionPolicy(
    INBOX_KEPT_DAYS,
    # An external command without an outcome may have moved money.
    may_go="SELECT NOT EXISTS (SELECT FROM {partition} WHERE outcome IS NULL)",
)

_IS_NEWEST = """NOT EXISTS (
    SELECT FROM {schema}.outbox AS newer
    WHERE newer.subject = old.subject AND starts_with(newer.stream, 'KV_') AND newer.id > old.id)"""

OUTBOX_RETENTION = RetentionPolicy(
    OUTBOX_KEPT_DAYS,
    may_go="""
        SELECT NOT EXISTS (
            SELECT FROM {partition} AS outbox, {schema}.relay_position AS position
            WHERE outbox.xid >= pg_snapshot_xmin(position.published)
              AND NOT pg_visible_in_snapshot(outbox.xid, position.published))""",
    # Keys of buckets live longer than the outbox's rows, and a lost bucket is rebuilt from the outbox.
    outliving=f"""
        SELECT array_agg(id) FROM (
            SELECT DISTINCT ON (subject) id FROM {{partition}} AS old
            WHERE starts_with(stream, 'KV_') AND NOT headers ? 'KV-Operation' AND {_IS_NEWEST}
            ORDER BY subject, id DESC LIMIT {CARRIED_ROWS}) AS newest""",  # noqa: S608 - our own names
    # `newest` is checked again while writers are locked out: then no newer value of a key can be in a running
    # transaction, so an old value never overwrites a newer one.
    carry=f"""
        INSERT INTO {{schema}}.outbox (message_id, stream, subject, headers, payload, caused_by, occurred_at)
        SELECT message_id, stream, subject, headers, payload, caused_by, occurred_at
        FROM {{partition}} AS old WHERE id = ANY($1) AND {_IS_NEWEST}""",  # noqa: S608 - our own names
)


def service_metadata(schema: str) -> MetaData:
    """Create the metadata of one service's tables in `schema`, with the plumbing's tables declared."""
    metadata = MetaData(schema=schema, naming_convention=NAMING)
    add_plumbing(metadata)
    return metadata


def add_plumbing(metadata: MetaData) -> None:
    """Declare inbox, outbox and relay position in `metadata`."""
    partitions_table(metadata)
    open_on_creation(metadata)
    Table(
        "inbox",
        metadata,
        Column("command_id", Text, primary_key=True),
        generation_column(),
        Column("name", Text, nullable=False),
        Column("fingerprint", LargeBinary, nullable=False),
        Column("body", JSON, nullable=False),
        Column("received_at", DateTime(timezone=True), nullable=False),
        Column("intent", JSON),
        # JSON, not JSONB: a repeated command gets the same outcome byte for byte.
        Column("outcome", JSON),
        Index("ix_inbox_unfinished", "received_at", postgresql_where=text("outcome IS NULL")),
        comment="Every command, what it asked for and what became of it; the key of idempotency.",
        **partitioned_by_generation(INBOX_RETENTION),
    )
    Table(
        "outbox",
        metadata,
        Column("id", BigInteger, Identity(always=True), primary_key=True),
        generation_column(),
        Column("xid", Xid8, nullable=False, server_default=text("pg_current_xact_id()")),
        Column("message_id", Text, nullable=False),
        Column("stream", Text, nullable=False),
        Column("subject", Text, nullable=False),
        Column("headers", JSONB, nullable=False),
        Column("payload", LargeBinary, nullable=False),
        Column("entity", Text),
        Column("entity_id", Text),
        Column("version", BigInteger),
        Column("caused_by", Text, nullable=False),
        Column("occurred_at", DateTime(timezone=True), nullable=False),
        Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
        Index("ix_outbox_xid_id", "xid", "id"),
        Index(
            "ix_outbox_entity_version",
            "entity",
            "entity_id",
            "version",
            "generation",
            unique=True,
            postgresql_where=text("entity IS NOT NULL"),
        ),
        Index("ix_outbox_bucket", "subject", "id", postgresql_where=text("starts_with(stream, 'KV_')")),
        comment="Every message this service has published or is about to; append-only, the audit trail.",
        **partitioned_by_generation(OUTBOX_RETENTION),
    )
    Table(
        "relay_position",
        metadata,
        Column("one", Boolean, primary_key=True, server_default=text("true")),
        Column("published", Snapshot, nullable=False, server_default=text("'3:3:'")),
        Column("part_of", Snapshot),
        Column("part_after_id", BigInteger, nullable=False, server_default=text("0")),
        comment="How far the relay has come: what is visible in the snapshot is published.",
    )
