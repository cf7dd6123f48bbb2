"""The declarative base of this service's rows: its own Postgres schema, with inbox and outbox beside them."""

from sqlalchemy.orm import DeclarativeBase

from shared.persistence.plumbing_tables import TYPES, service_metadata


class Row(DeclarativeBase):
    """What every row of this service derives from; a class of its own, so that type checkers can follow."""

    metadata = service_metadata("subscriptions")
    type_annotation_map = TYPES
