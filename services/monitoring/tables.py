"""The tables of this service: snapshots, reported resources, and known entities of other services."""

from datetime import date, datetime
from typing import Any, ClassVar

from sqlalchemy import Index, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.persistence.plumbing_tables import TYPES, service_metadata


class Row(DeclarativeBase):
    """Base class of the rows of this service."""

    metadata = service_metadata("monitoring")
    type_annotation_map: ClassVar[dict[Any, Any]] = {**TYPES, list[str]: ARRAY(Text)}


class SnapshotRow(Row):
    """The figures of the installation on one UTC day."""

    __tablename__ = "snapshots"

    day: Mapped[date] = mapped_column(primary_key=True)
    version: Mapped[int]
    """How often the day was captured."""
    captured_at: Mapped[datetime]
    figures: Mapped[dict[str, Any]]
    """The fields of the message `Snapshot` that are not columns."""


class ResourceRow(Row):
    """The newest reading on one UTC day of a resource that the host application reports."""

    __tablename__ = "resources"

    resource: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    value: Mapped[float]
    unit: Mapped[str | None]
    at: Mapped[datetime]


class KnownCustomer(Row):
    """A registered customer."""

    __tablename__ = "known_customers"

    customer: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]


class KnownProduct(Row):
    """A product of the catalog, as of its last event."""

    __tablename__ = "known_products"

    code: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    kind: Mapped[str]
    archived: Mapped[bool]


class KnownPrice(Row):
    """A price of the catalog; what it costs never changes."""

    __tablename__ = "known_prices"

    code: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    product: Mapped[str]
    terms: Mapped[dict[str, Any]]
    """The fields of the message `Price` that make what it costs."""


class KnownSubscription(Row):
    """A subscription as of its last event."""

    __tablename__ = "known_subscriptions"
    __table_args__ = (
        Index(
            "ix_known_subscriptions_running",
            "product",
            postgresql_where=text("status NOT IN ('canceled', 'expired', 'incomplete')"),
        ),
    )

    subscription_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    customer: Mapped[str]
    status: Mapped[str]
    product: Mapped[str]
    """The product of its first item; `custom` if that is not in the catalog."""
    unlimited: Mapped[list[str]]
    """The codes of the features that it includes without a limit; flags have none."""


class KnownTeam(Row):
    """A billing team as of its last event."""

    __tablename__ = "known_teams"

    team_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    status: Mapped[str]
    capacity: Mapped[int]
    occupied: Mapped[int]


class KnownSeat(Row):
    """A seat as of its last event."""

    __tablename__ = "known_seats"

    seat_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    status: Mapped[str]


class KnownAddOn(Row):
    """An add-on as of its last event."""

    __tablename__ = "known_add_ons"

    add_on_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    product: Mapped[str]
    status: Mapped[str]


class KnownRecharge(Row):
    """A recharge as of its last event."""

    __tablename__ = "known_recharges"
    __table_args__ = (Index("ix_known_recharges_at", "at"),)

    recharge_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    customer: Mapped[str]
    account: Mapped[str]
    feature: Mapped[str]
    status: Mapped[str]
    amount: Mapped[int]
    currency: Mapped[str]
    at: Mapped[datetime]
