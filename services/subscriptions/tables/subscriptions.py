"""The rows apart from the catalog's. A customer's token (`organization_acme`) is the key to all of them."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.subscriptions.tables.base import Row


class CustomerRow(Row):
    """A registered customer. Whoever changes anything of a customer's locks this row first."""

    __tablename__ = "customers"

    customer: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[str] = mapped_column(unique=True)
    version: Mapped[int]
    email: Mapped[str]
    name: Mapped[str | None]
    # Not called `metadata`, which is SQLAlchemy's own on a row.
    notes: Mapped[dict[str, Any]] = mapped_column("metadata")
    stripe_customer_id: Mapped[str | None] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    overrides: Mapped[list[Any]] = mapped_column(server_default=text("'[]'"))
    """The snapshot's: those in force, by feature."""


class SubscriptionRow(Row):
    """A subscription; `items` are the snapshot's, with all that they were sold with."""

    __tablename__ = "subscriptions"
    __table_args__ = (
        Index("ix_subscriptions_customer", "customer", "subscription_id"),
        Index("ix_subscriptions_status", "status", "subscription_id"),
        # Those whose periods we move ourselves, by what is due first.
        Index(
            "ix_subscriptions_own_period_end",
            "current_period_end",
            postgresql_where=text("stripe_subscription_id IS NULL AND ended_at IS NULL"),
        ),
        # What ticks look for: graces and trials that are over, renewals that come near.
        Index(
            "ix_subscriptions_grace",
            "grace_until",
            postgresql_where=text("status = 'past_due' AND NOT restricted"),
        ),
        Index("ix_subscriptions_trial_end", "trial_end", postgresql_where=text("status = 'trialing'")),
        Index(
            "ix_subscriptions_renewal",
            "current_period_end",
            postgresql_where=text("status = 'active' AND NOT cancel_at_period_end"),
        ),
        Index(
            "ix_subscriptions_own_scheduled_change",
            "current_period_end",
            postgresql_where=text(
                "stripe_subscription_id IS NULL AND ended_at IS NULL AND scheduled_change IS NOT NULL"
            ),
        ),
    )

    subscription_id: Mapped[str] = mapped_column(primary_key=True)
    customer: Mapped[str] = mapped_column(ForeignKey(CustomerRow.customer))
    version: Mapped[int]
    status: Mapped[str]
    collection: Mapped[str]
    items: Mapped[list[Any]]
    current_period_start: Mapped[datetime | None]
    current_period_end: Mapped[datetime | None]
    period_anchor: Mapped[datetime | None]
    """From where periods of our own are counted; null where Stripe counts them."""
    period_interval: Mapped[str | None]
    trial_end: Mapped[datetime | None]
    cancel_at_period_end: Mapped[bool]
    canceled_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    grace_until: Mapped[datetime | None]
    restricted: Mapped[bool] = mapped_column(server_default=text("false"))
    trial_end_told_for: Mapped[datetime | None]
    """The end of the trial that was announced last; likewise that of the period."""
    renewal_told_for: Mapped[datetime | None]
    card_looked_at_for: Mapped[datetime | None]
    """The end of the period for whose charge the card was looked at."""
    synced_at: Mapped[datetime | None]
    """When it was last compared with what Stripe has."""
    scheduled_change: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    seats_occupied: Mapped[int] = mapped_column(server_default=text("0"))
    """Seats that are given away or promised; fewer than these cannot be bought."""
    stripe_subscription_id: Mapped[str | None] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    # How far Stripe's events about it have been taken into account.
    stripe_event_id: Mapped[str | None]
    stripe_event_at: Mapped[datetime | None]
    stripe_event_rank: Mapped[int] = mapped_column(server_default=text("0"))
    stripe_is_ahead: Mapped[bool] = mapped_column(server_default=text("false"))
    stripe_revision: Mapped[int] = mapped_column(server_default=text("0"))
    """Counts what was applied from Stripe, so that an answer fetched meanwhile is seen to be outdated."""


class CheckoutRow(Row):
    """A checkout that was started; while it is open it holds its plans for the customer."""

    __tablename__ = "checkouts"
    __table_args__ = (Index("ix_checkouts_open", "customer", postgresql_where=text("status = 'open'")),)

    checkout_id: Mapped[str] = mapped_column(primary_key=True)
    customer: Mapped[str] = mapped_column(ForeignKey(CustomerRow.customer))
    status: Mapped[str]
    """`open`, then `completed`, `expired` or `failed`."""
    plans: Mapped[list[Any]]
    expires_at: Mapped[datetime]
    stripe_checkout_id: Mapped[str | None] = mapped_column(unique=True)
    url: Mapped[str | None]
    created_at: Mapped[datetime]


class InvoiceRow(Row):
    """An invoice as Stripe tells it; amounts in the minor unit of `currency`."""

    __tablename__ = "invoices"
    __table_args__ = (
        Index("ix_invoices_customer", "customer", "created_at", "invoice_id"),
        Index("ix_invoices_failed", "subscription_id", postgresql_where=text("failed_at IS NOT NULL")),
    )

    invoice_id: Mapped[str] = mapped_column(primary_key=True)
    customer: Mapped[str] = mapped_column(ForeignKey(CustomerRow.customer))
    subscription_id: Mapped[str | None] = mapped_column(ForeignKey(SubscriptionRow.subscription_id))
    version: Mapped[int]
    stripe_invoice_id: Mapped[str] = mapped_column(unique=True)
    stripe_customer_id: Mapped[str]
    stripe_subscription_id: Mapped[str | None]
    number: Mapped[str | None]
    status: Mapped[str]
    total: Mapped[int]
    amount_due: Mapped[int]
    amount_paid: Mapped[int]
    currency: Mapped[str]
    lines: Mapped[list[Any]]
    reference: Mapped[str | None]
    attempt_count: Mapped[int]
    told_failures: Mapped[int] = mapped_column(server_default=text("0"))
    """The number of the last attempt whose failure was told."""
    failed_at: Mapped[datetime | None]
    """When the first attempt failed, as far as its event or that of a later one has said."""
    hosted_invoice_url: Mapped[str | None]
    invoice_pdf: Mapped[str | None]
    created_at: Mapped[datetime]
    stripe_event_at: Mapped[datetime]


class EntitlementRow(Row):
    """What a customer has of a feature. Stays when nothing gives it any more, so that versions go on.

    Whoever has it from a seat need not be registered.
    """

    __tablename__ = "entitlements"

    customer: Mapped[str] = mapped_column(primary_key=True)
    feature: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    granted: Mapped[bool]
    """Whether anything gives it, and so whether its key is in the bucket."""
    allowed: Mapped[bool]
    quantity: Mapped[int | None]
    sources: Mapped[list[Any]]
    expires_at: Mapped[datetime | None]


class ParkedEventRow(Row):
    """A Stripe event about a customer we do not know yet; sent again once we do."""

    __tablename__ = "parked_events"
    __table_args__ = (Index("ix_parked_events_stripe_customer_id", "stripe_customer_id"),)

    event_id: Mapped[str] = mapped_column(primary_key=True)
    stripe_customer_id: Mapped[str]
    parked_at: Mapped[datetime]
