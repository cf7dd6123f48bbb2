"""The base class of this service's rows."""

from sqlalchemy.orm import DeclarativeBase

from shared.persistence.plumbing_tables import TYPES, service_metadata


class Row(DeclarativeBase):
    """Base class of the rows of this service."""

    metadata = service_metadata("payouts")
    type_annotation_map = TYPES
