"""The catalog's tables. Rows are archived, never deleted: subscriptions may still use them."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.subscriptions.tables.base import Row


class FeatureRow(Row):
    """A feature; the columns are the fields of its snapshot."""

    __tablename__ = "catalog_features"

    code: Mapped[str] = mapped_column(primary_key=True)
    feature_id: Mapped[str] = mapped_column(unique=True)
    version: Mapped[int]
    name: Mapped[str]
    description: Mapped[str | None]
    kind: Mapped[str]
    unit_price: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    meter: Mapped[str | None]
    delivers: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    tax_behavior: Mapped[str | None]
    tax_rates: Mapped[list[Any]] = mapped_column(server_default=text("'[]'"))
    overage: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    archived: Mapped[bool]
    position: Mapped[int] = mapped_column(server_default=text("0"))


class ProductRow(Row):
    """A product; the columns are the fields of its snapshot."""

    __tablename__ = "catalog_products"

    code: Mapped[str] = mapped_column(primary_key=True)
    product_id: Mapped[str] = mapped_column(unique=True)
    version: Mapped[int]
    name: Mapped[str]
    description: Mapped[str | None]
    kind: Mapped[str]
    seats: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    features: Mapped[list[Any]]
    required_details: Mapped[list[Any]]
    archived: Mapped[bool]
    stripe_product_id: Mapped[str | None] = mapped_column(unique=True)
    license: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    seller: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    position: Mapped[int] = mapped_column(server_default=text("0"))


class PriceRow(Row):
    """A price; the columns are the fields of its snapshot."""

    __tablename__ = "catalog_prices"
    __table_args__ = (Index("ix_catalog_prices_product", "product"),)

    code: Mapped[str] = mapped_column(primary_key=True)
    price_id: Mapped[str] = mapped_column(unique=True)
    version: Mapped[int]
    product: Mapped[str] = mapped_column(ForeignKey(ProductRow.code))
    model: Mapped[str]
    currency: Mapped[str | None]
    interval: Mapped[str]
    interval_count: Mapped[int] = mapped_column(server_default=text("1"))
    unit_amount: Mapped[int | None]
    base_amount: Mapped[int]
    tiers: Mapped[list[Any]]
    trial_days: Mapped[int | None]
    listed: Mapped[bool]
    tax_behavior: Mapped[str | None]
    tax_rates: Mapped[list[Any]] = mapped_column(server_default=text("'[]'"))
    archived: Mapped[bool]
    stripe_price_id: Mapped[str | None] = mapped_column(unique=True)
    position: Mapped[int] = mapped_column(server_default=text("0"))


class TaxRateRow(Row):
    """A tax rate; the columns are the fields of its snapshot."""

    __tablename__ = "catalog_tax_rates"

    code: Mapped[str] = mapped_column(primary_key=True)
    tax_rate_id: Mapped[str] = mapped_column(unique=True)
    version: Mapped[int]
    display_name: Mapped[str]
    description: Mapped[str | None]
    percentage: Mapped[str]
    inclusive: Mapped[bool]
    country: Mapped[str | None]
    state: Mapped[str | None]
    jurisdiction: Mapped[str | None]
    tax_type: Mapped[str | None]
    default: Mapped[bool]
    archived: Mapped[bool]
    stripe_tax_rate_id: Mapped[str | None] = mapped_column(unique=True)
    position: Mapped[int] = mapped_column(server_default=text("0"))


class HistoryRow(Row):
    """The snapshot of an entity at each of its versions, to explain later what was sold."""

    __tablename__ = "catalog_history"

    entity: Mapped[str] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    snapshot: Mapped[dict[str, Any]]
    caused_by: Mapped[str]
    changed_at: Mapped[datetime]


class StateRow(Row):
    """The catalog as a whole: one row, locked by every change."""

    __tablename__ = "catalog_state"

    one: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    revision: Mapped[int] = mapped_column(server_default=text("0"))
    applying: Mapped[str | None]
    """The command that is applying a document, or the last one that did."""
