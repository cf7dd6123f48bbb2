"""The tables of this service: licenses, activations, signing keys, and known subscriptions and products."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.persistence.plumbing_tables import TYPES, service_metadata


class Row(DeclarativeBase):
    """Base class of the rows of this service."""

    metadata = service_metadata("licenses")
    type_annotation_map = TYPES


class LicenseRow(Row):
    """A license; its row is locked before it or one of its activations changes."""

    __tablename__ = "licenses"
    __table_args__ = (
        # A subscription that returns to a product with a license gets a new one, unless it was revoked.
        Index(
            "uq_licenses_subscription_id",
            "subscription_id",
            unique=True,
            postgresql_where=text("status <> 'expired'"),
        ),
        Index("uq_licenses_key_hash", "key_hash", unique=True),
        Index("ix_licenses_subscription_id_license_id", "subscription_id", "license_id"),
        Index("ix_licenses_customer_license_id", "customer", "license_id"),
        Index("ix_licenses_status_license_id", "status", "license_id"),
        Index("ix_licenses_key_hint", "key_hint"),
        Index("ix_licenses_product_license_id", "product", "license_id"),
        Index("ix_licenses_expires_at", "expires_at", postgresql_where=text("ended_at IS NULL")),
        CheckConstraint("status IN ('active', 'suspended', 'expired', 'revoked')", name="status"),
        CheckConstraint("(ended_at IS NULL) = (status IN ('active', 'suspended'))", name="ended"),
        CheckConstraint(
            "status <> 'active' OR NOT (suspended_by_operator OR suspended_by_subscription)", name="suspended"
        ),
    )

    license_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    customer: Mapped[str]
    subscription_id: Mapped[str | None]
    product: Mapped[str]
    status: Mapped[str]
    seats: Mapped[int | None]
    features: Mapped[dict[str, Any]]
    instances: Mapped[int]
    grace_days: Mapped[int]
    offline_days: Mapped[int]
    expires_at: Mapped[datetime | None]
    suspended_by_operator: Mapped[bool]
    suspended_by_subscription: Mapped[bool]
    reason: Mapped[str | None]
    key_hash: Mapped[bytes]
    """SHA-256 of the license key."""
    key_hint: Mapped[str]
    key_number: Mapped[int]
    key_shown: Mapped[bool]
    file_sequence: Mapped[int]
    """Files issued so far."""
    reminded_days: Mapped[int | None]
    """The reminder of the end that was emitted last, in days before it."""
    issued_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class ActivationRow(Row):
    """A machine on which a license is activated, with the times of the file it got last."""

    __tablename__ = "activations"
    __table_args__ = (
        Index("ix_activations_grace_until", "grace_until"),
        Index("ix_activations_instance_id", "instance_id"),
    )

    license_id: Mapped[str] = mapped_column(ForeignKey(LicenseRow.license_id), primary_key=True)
    instance_id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str | None]
    software_version: Mapped[str | None]
    activated_at: Mapped[datetime]
    refreshed_at: Mapped[datetime]
    members: Mapped[int | None]
    not_after: Mapped[datetime]
    grace_until: Mapped[datetime]


class SigningKeyRow(Row):
    """A signing key that has signed files; only its public half is stored."""

    __tablename__ = "signing_keys"
    __table_args__ = (
        Index("uq_signing_keys_active", "status", unique=True, postgresql_where=text("status = 'active'")),
        CheckConstraint("status IN ('active', 'retired')", name="status"),
        CheckConstraint("(status = 'retired') = (retired_at IS NOT NULL)", name="retired"),
    )

    kid: Mapped[str] = mapped_column(primary_key=True)
    x: Mapped[str]
    status: Mapped[str]
    activated_at: Mapped[datetime]
    retired_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    """When the last file that it signed has ended."""


class KnownSubscription(Row):
    """A subscription as of its last event, with or without a license."""

    __tablename__ = "known_subscriptions"

    subscription_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    snapshot: Mapped[dict[str, Any]]


class KnownProduct(Row):
    """A product of the catalog as of its last event."""

    __tablename__ = "known_products"

    code: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    snapshot: Mapped[dict[str, Any]]
