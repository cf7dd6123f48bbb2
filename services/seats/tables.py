"""The tables of this service: teams, seats, and known subscriptions, customers, invoices and licenses."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.persistence.plumbing_tables import TYPES, service_metadata


class Row(DeclarativeBase):
    """Base class of the rows of this service."""

    metadata = service_metadata("seats")
    type_annotation_map = TYPES


class TeamRow(Row):
    """A billing team; its row is locked before the team changes or a seat is assigned or freed."""

    __tablename__ = "teams"
    __table_args__ = (
        # A subscription that returns to a plan with seats gets a new team.
        Index(
            "uq_teams_subscription_id", "subscription_id", unique=True, postgresql_where=text("NOT closing")
        ),
        Index("ix_teams_subscription_id_team_id", "subscription_id", "team_id"),
        Index("ix_teams_customer_team_id", "customer", "team_id"),
        CheckConstraint("status IN ('open', 'closed')", name="status"),
        CheckConstraint("strategy IN ('per_team', 'per_seat')", name="strategy"),
        CheckConstraint("owner_seat IN ('free', 'billed', 'none')", name="owner_seat"),
        # Assigning seats cannot exceed this; `excess` counts occupied seats after a reduction elsewhere.
        CheckConstraint("occupied <= capacity + excess", name="capacity"),
        CheckConstraint("holders >= 0 AND excess >= 0", name="counts"),
    )

    team_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    subscription_id: Mapped[str]
    customer: Mapped[str]
    strategy: Mapped[str]
    owner_seat: Mapped[str]
    quantity: Mapped[int]
    minimum: Mapped[int]
    maximum: Mapped[int | None]
    scheduled_quantity: Mapped[int | None]
    capacity: Mapped[int]
    holders: Mapped[int]
    """Pending and claimed seats."""
    occupied: Mapped[int]
    excess: Mapped[int]
    members_reported: Mapped[int] = mapped_column(server_default=text("0"))
    """Members that the machines of the subscription's license report."""
    billing_manager: Mapped[str]
    manager_from: Mapped[str]
    """Source of the manager: `customer` (the payer, by default), `metadata` or `transfer`."""
    suspended: Mapped[bool]
    status: Mapped[str]
    closing: Mapped[bool]
    """No seat is assigned any more; some seats may not be revoked yet."""
    change: Mapped[dict[str, Any] | None]
    """The change of the quantity in progress, with the id of its command."""
    refused_change: Mapped[dict[str, Any] | None]
    opened_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]


class SeatRow(Row):
    """A seat, with copies of its team's customer and subscription, which never change."""

    __tablename__ = "seats"
    __table_args__ = (
        Index(
            "uq_seats_email_team_id",
            "email",
            "team_id",
            unique=True,
            postgresql_where=text("status <> 'revoked'"),
        ),
        Index(
            "uq_seats_member_team_id",
            "member",
            "team_id",
            unique=True,
            postgresql_where=text("status <> 'revoked'"),
        ),
        Index(
            "uq_seats_token_hash", "token_hash", unique=True, postgresql_where=text("token_hash IS NOT NULL")
        ),
        Index("ix_seats_team_id_seat_id", "team_id", "seat_id"),
        Index("ix_seats_team_id_status_seat_id", "team_id", "status", "seat_id"),
        Index("ix_seats_memberships", "member", "seat_id", postgresql_where=text("status = 'claimed'")),
        Index("ix_seats_expires_at", "expires_at", postgresql_where=text("token_hash IS NOT NULL")),
        CheckConstraint("status IN ('pending', 'claimed', 'revoked')", name="status"),
        CheckConstraint("status <> 'claimed' OR member IS NOT NULL", name="claimed_by_somebody"),
        CheckConstraint("token_hash IS NULL OR status = 'pending'", name="token_of_pending"),
        CheckConstraint("multiplier BETWEEN 1 AND 100", name="multiplier"),
    )

    seat_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    team_id: Mapped[str] = mapped_column(ForeignKey(TeamRow.team_id))
    subscription_id: Mapped[str]
    customer: Mapped[str]
    status: Mapped[str]
    email: Mapped[str | None]
    member: Mapped[str | None]
    multiplier: Mapped[int]
    prorated: Mapped[bool] = mapped_column(server_default=text("false"))
    """Whether the multiplier granted units only for the remainder of the period in which it was set."""
    role: Mapped[str | None]
    # SQLAlchemy reserves the attribute `metadata`.
    meta: Mapped[dict[str, Any]] = mapped_column("metadata")
    token_hash: Mapped[bytes | None]
    """SHA-256 of the invitation token; null once it is used, expired or revoked."""
    invited_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    claimed_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class KnownSubscription(Row):
    """A subscription as of its last event, with or without a team."""

    __tablename__ = "known_subscriptions"

    subscription_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    snapshot: Mapped[dict[str, Any]]


class KnownCustomer(Row):
    """The billing manager that a customer's metadata names, as of the customer's last event."""

    __tablename__ = "known_customers"

    customer: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    billing_manager: Mapped[str | None]


class KnownInvoice(Row):
    """An invoice for a subscription, as of its last event."""

    __tablename__ = "known_invoices"
    __table_args__ = (Index("ix_known_invoices_subscription_id_invoice_id", "subscription_id", "invoice_id"),)

    invoice_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    subscription_id: Mapped[str]
    snapshot: Mapped[dict[str, Any]]


class KnownLicense(Row):
    """The license of a subscription, as of its last event."""

    __tablename__ = "known_licenses"
    __table_args__ = (Index("ix_known_licenses_subscription_id", "subscription_id"),)

    license_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    subscription_id: Mapped[str]
    members: Mapped[int]
    """Members that its machines report; 0 once it has ended."""
