"""The tables of this service: snapshots, reported resources, and known entities of other services."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any, ClassVar

from sqlalchemy import Index, Numeric, Text, text
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


class AlarmRow(Row):
    """An alarm that is or was raised."""

    __tablename__ = "alarms"
    __table_args__ = (
        Index(
            "uq_alarms_raised",
            "rule",
            text("coalesce(about, '')"),
            unique=True,
            postgresql_where=text("cleared_at IS NULL"),
        ),
    )

    alarm_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    rule: Mapped[str]
    about: Mapped[str | None]
    severity: Mapped[str]
    value: Mapped[float]
    threshold: Mapped[float]
    title: Mapped[str]
    action: Mapped[str]
    raised_at: Mapped[datetime]
    cleared_at: Mapped[datetime | None]


class CatchUpRow(Row):
    """How far older entities, which the change feed does not have any more, were asked for."""

    __tablename__ = "catch_ups"

    entity: Mapped[str] = mapped_column(primary_key=True)
    cursor: Mapped[str | None]
    seen: Mapped[int]
    done_at: Mapped[datetime | None]


class HistoryRow(Row):
    """Consecutive versions of a subscription or an invoice that say the same, as far as revenue goes."""

    __tablename__ = "histories"
    __table_args__ = (Index("ix_histories_owner_entity", "owner", "entity"),)

    entity_id: Mapped[str] = mapped_column(primary_key=True)
    first: Mapped[int] = mapped_column(primary_key=True)
    last: Mapped[int]
    entity: Mapped[str]
    """`subscription` or `invoice`."""
    owner: Mapped[str]
    """The token of the customer."""
    at: Mapped[datetime]
    """When the first of the versions came to be."""
    content: Mapped[dict[str, Any]]


class RevenueDayRow(Row):
    """The sum of one kind of movement on one UTC day, exactly: `numerator` ÷ `denominator` minor units.

    It follows from the histories, and is kept with them, so that a report reads days and not customers.
    """

    __tablename__ = "revenue_days"

    day: Mapped[date] = mapped_column(primary_key=True)
    currency: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    denominator: Mapped[int] = mapped_column(primary_key=True)
    numerator: Mapped[Decimal] = mapped_column(Numeric)
    customers: Mapped[int]
    """How the number of paying customers changed."""
