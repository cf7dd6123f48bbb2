"""The tables of this service: notifications, preferences, and what is known of recipients."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.persistence.plumbing_tables import TYPES, service_metadata


class Row(DeclarativeBase):
    """Base class of the rows of this service."""

    metadata = service_metadata("notifications")
    type_annotation_map = TYPES


class NotificationRow(Row):
    """A notification, written before anything is sent; one for each kind, cause and recipient."""

    __tablename__ = "notifications"
    __table_args__ = (
        Index("uq_notifications_cause_kind_recipient", "cause", "kind", "recipient", unique=True),
        Index(
            "ix_notifications_next_attempt_at", "next_attempt_at", postgresql_where=text("status = 'queued'")
        ),
        Index("ix_notifications_customer_notification_id", "customer", "notification_id"),
        Index("ix_notifications_created_at", "created_at"),
        CheckConstraint("status IN ('queued', 'sent', 'failed', 'suppressed')", name="status"),
        CheckConstraint("(status = 'queued') = (next_attempt_at IS NOT NULL)", name="next_attempt_at"),
        CheckConstraint("(status = 'suppressed') = (reason IS NOT NULL)", name="reason"),
    )

    notification_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    kind: Mapped[str]
    cause: Mapped[str]
    recipient: Mapped[str]
    """Customer token, seat id or address."""
    customer: Mapped[str | None]
    facts: Mapped[dict[str, Any]]
    """What the mail tells; never a token."""
    is_forced: Mapped[bool]
    """Requested by a command: sent whatever the preferences are."""
    status: Mapped[str]
    reason: Mapped[str | None]
    email: Mapped[str | None]
    language: Mapped[str | None]
    attempts: Mapped[int]
    last_error: Mapped[str | None]
    message_id: Mapped[str]
    happened_at: Mapped[datetime]
    created_at: Mapped[datetime]
    next_attempt_at: Mapped[datetime | None]
    """When it is due; moved into the future while a worker is sending it."""
    sent_at: Mapped[datetime | None]


class PreferenceRow(Row):
    """What a recipient wants; kept by customer token or, of people without one, `email:<address>`."""

    __tablename__ = "preferences"

    party: Mapped[str] = mapped_column(primary_key=True)
    email: Mapped[str | None]
    language: Mapped[str | None]
    kinds_off: Mapped[list[Any]]
    changed_at: Mapped[datetime]


class BouncedAddressRow(Row):
    """An address that a mail server has refused for good; nothing is sent there until it is set again."""

    __tablename__ = "bounced_addresses"

    email: Mapped[str] = mapped_column(primary_key=True)
    reply: Mapped[str]
    bounced_at: Mapped[datetime]


class KnownCustomerRow(Row):
    """A customer as of its last event."""

    __tablename__ = "known_customers"

    customer: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    email: Mapped[str]
    name: Mapped[str | None]


class KnownSubscriptionRow(Row):
    """A subscription as of its last event."""

    __tablename__ = "known_subscriptions"

    subscription_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    customer: Mapped[str]
    product: Mapped[str | None]
    grace_until: Mapped[datetime | None]
    is_started: Mapped[bool] = mapped_column(server_default=text("true"))
    """Whether it was ever more than a checkout that waits for its payment."""


class KnownSeatRow(Row):
    """A seat as of its last event."""

    __tablename__ = "known_seats"

    seat_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    customer: Mapped[str]
    subscription_id: Mapped[str]
    status: Mapped[str]
    email: Mapped[str | None]
    member: Mapped[str | None]


class KnownInvitationRow(Row):
    """The last invitation to a seat: the command that made it, from which its token is derived."""

    __tablename__ = "known_invitations"
    __table_args__ = (
        Index("ix_known_invitations_expires_at", "expires_at", postgresql_where=text("NOT is_reminded")),
    )

    seat_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    """Version of the seat with which it was made."""
    command_id: Mapped[str]
    expires_at: Mapped[datetime]
    is_reminded: Mapped[bool]


class KnownNameRow(Row):
    """The name of a product or feature of the catalog."""

    __tablename__ = "known_names"

    entity: Mapped[str] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    name: Mapped[str]


class EndpointRow(Row):
    """A webhook endpoint."""

    __tablename__ = "endpoints"
    __table_args__ = (
        Index("ix_endpoints_customer_endpoint_id", "customer", "endpoint_id"),
        CheckConstraint("status IN ('enabled', 'disabled', 'deleted')", name="status"),
    )

    endpoint_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    customer: Mapped[str | None]
    """Token of the customer whose events it gets; null: those of all."""
    url: Mapped[str]
    events: Mapped[list[Any]]
    description: Mapped[str | None]
    status: Mapped[str]
    reason: Mapped[str | None]
    failing_since: Mapped[datetime | None]
    secret: Mapped[bytes]
    """Encrypted."""
    previous_secret: Mapped[bytes | None]
    """Encrypted; signs, too, until `previous_secret_until`."""
    previous_secret_until: Mapped[datetime | None]
    created_at: Mapped[datetime]


class OutgoingEventRow(Row):
    """The body of an event that at least one endpoint gets."""

    __tablename__ = "outgoing_events"
    __table_args__ = (Index("ix_outgoing_events_created_at", "created_at"),)

    event_id: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str]
    body: Mapped[bytes]
    occurred_at: Mapped[datetime]
    created_at: Mapped[datetime]


class DeliveryRow(Row):
    """An event on its way to an endpoint."""

    __tablename__ = "deliveries"
    __table_args__ = (
        Index("uq_deliveries_event_id_endpoint_id", "event_id", "endpoint_id", unique=True),
        Index(
            "ix_deliveries_endpoint_id_next_attempt_at",
            "endpoint_id",
            "next_attempt_at",
            postgresql_where=text("status = 'pending'"),
        ),
        Index("ix_deliveries_endpoint_id_delivery_id", "endpoint_id", "delivery_id"),
        Index("ix_deliveries_created_at", "created_at"),
        CheckConstraint("status IN ('pending', 'succeeded', 'failed')", name="status"),
    )

    delivery_id: Mapped[str] = mapped_column(primary_key=True)
    endpoint_id: Mapped[str]
    event_id: Mapped[str]
    type: Mapped[str]
    status: Mapped[str]
    attempts: Mapped[int]
    next_attempt_at: Mapped[datetime]
    """When it is due; moved into the future while a worker is sending it."""
    last_attempt_at: Mapped[datetime | None]
    response_status: Mapped[int | None]
    duration_ms: Mapped[int | None]
    response_body: Mapped[str | None]
    last_error: Mapped[str | None]
    created_at: Mapped[datetime]
