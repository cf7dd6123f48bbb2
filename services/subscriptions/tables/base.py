"""The declarative base of this service's rows, in a Postgres schema with its own inbox and outbox."""

from sqlalchemy.orm import DeclarativeBase

from shared.persistence.plumbing_tables import TYPES, service_metadata


class Row(DeclarativeBase):
    """The base of every row of this service; a class of its own, because type checkers need one."""

    metadata = service_metadata("subscriptions")
    type_annotation_map = TYPES
