"""The declarative base of this service's rows: its own Postgres schema, with inbox and outbox beside them."""

from sqlalchemy.orm import DeclarativeBase

from shared.tables import row_base

_Base = row_base("subscriptions")


class Row(DeclarativeBase):
    """What every row of this service derives from; a class of its own, so that type checkers can follow."""

    metadata = _Base.metadata
    type_annotation_map = _Base.registry.type_annotation_map
