"""The declarative base of this service's tables, in its own Postgres schema with an inbox and an outbox."""

from sqlalchemy.orm import DeclarativeBase

from shared.persistence.plumbing_tables import TYPES, service_metadata


class Row(DeclarativeBase):
    """The base class of this service's rows."""

    metadata = service_metadata("consumables")
    type_annotation_map = TYPES
