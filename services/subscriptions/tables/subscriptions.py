"""All rows apart from the catalog's. A customer's token (`organization_acme`) is the key to all of them."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.subscriptions.tables.base import Row


class CustomerRow(Row):
    """A registered customer. Every change of a customer's data locks this row first."""

    __tablename__ = "customers"
    __table_args__ = (Index("ix_customers_email", text("lower(email)")),)

    customer: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[str] = mapped_column(unique=True)
    version: Mapped[int]
    email: Mapped[str]
    name: Mapped[str | None]
    # Not named `metadata`, which SQLAlchemy reserves.
    notes: Mapped[dict[str, Any]] = mapped_column("metadata")
    stripe_customer_id: Mapped[str | None] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    overrides: Mapped[list[Any]] = mapped_column(server_default=text("'[]'"))
    """The snapshot's overrides: those in force, by feature."""


class SubscriptionRow(Row):
    """A subscription; `items` are the snapshot's, with the features they were sold with."""

    __tablename__ = "subscriptions"
    __table_args__ = (
        Index("ix_subscriptions_customer", "customer", "subscription_id"),
        Index("ix_subscriptions_status", "status", "subscription_id"),
        # Self-managed subscriptions, by the end of their period.
        Index(
            "ix_subscriptions_own_period_end",
            "current_period_end",
            postgresql_where=text("stripe_subscription_id IS NULL AND ended_at IS NULL"),
        ),
        # For the jobs: grace periods and trials that are over, and renewals that are near.
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
    """The moment from which self-managed periods are counted; null for Stripe subscriptions."""
    period_interval: Mapped[str | None]
    period_interval_count: Mapped[int] = mapped_column(server_default=text("1"))
    """The number of intervals in a self-managed period."""
    trial_end: Mapped[datetime | None]
    cancel_at_period_end: Mapped[bool]
    cancel_at: Mapped[datetime | None]
    """The date in Stripe on which it is set to end; null if that is the end of the period."""
    canceled_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    grace_until: Mapped[datetime | None]
    restricted: Mapped[bool] = mapped_column(server_default=text("false"))
    trial_end_told_for: Mapped[datetime | None]
    """The end of the trial for which `trialEnding` was emitted; likewise below for `renewalUpcoming`."""
    renewal_told_for: Mapped[datetime | None]
    card_looked_at_for: Mapped[datetime | None]
    """The end of the period for whose charge the card's expiry was checked."""
    synced_at: Mapped[datetime | None]
    """When it was last compared with Stripe."""
    scheduled_change: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    seats_occupied: Mapped[int] = mapped_column(server_default=text("0"))
    """Seats in use, assigned or on machines; a smaller quantity cannot be bought."""
    members_reported: Mapped[int] = mapped_column(server_default=text("0"))
    """Members that the machines of its license report, in `seats_occupied` where they are more."""
    stripe_subscription_id: Mapped[str | None] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    # The newest applied Stripe event.
    stripe_event_id: Mapped[str | None]
    stripe_event_at: Mapped[datetime | None]
    stripe_event_rank: Mapped[int] = mapped_column(server_default=text("0"))
    stripe_is_ahead: Mapped[bool] = mapped_column(server_default=text("false"))
    stripe_revision: Mapped[int] = mapped_column(server_default=text("0"))
    """The number of states applied from Stripe; shows that an object fetched before is outdated."""


class CheckoutRow(Row):
    """A checkout that was started; while it is open, its plans are reserved for the customer."""

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
    """A copy of Stripe's invoice; amounts in the minor unit of `currency`."""

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
    subtotal: Mapped[int | None]
    """Null, like the next columns, where a version that did not know tax wrote the row."""
    discount: Mapped[int | None]
    total_excluding_tax: Mapped[int | None]
    taxes: Mapped[list[Any] | None] = mapped_column(JSONB(none_as_null=True))
    total: Mapped[int]
    amount_due: Mapped[int]
    amount_paid: Mapped[int]
    amount_credited: Mapped[int] = mapped_column(server_default=text("0"))
    amount_refunded: Mapped[int] = mapped_column(server_default=text("0"))
    amount_disputed: Mapped[int] = mapped_column(server_default=text("0"))
    """Disputes that are open or were lost."""
    amount_charged_back: Mapped[int] = mapped_column(server_default=text("0"))
    """Disputes that were lost."""
    currency: Mapped[str]
    lines: Mapped[list[Any]]
    reference: Mapped[str | None]
    attempt_count: Mapped[int]
    told_failures: Mapped[int] = mapped_column(server_default=text("0"))
    """The number of the last attempt for which `paymentFailed` was emitted."""
    failed_at: Mapped[datetime | None]
    """When the first attempt failed, as far as the events received so far show."""
    declined_at: Mapped[datetime | None]
    """When a new payment method was declined too."""
    hosted_invoice_url: Mapped[str | None]
    invoice_pdf: Mapped[str | None]
    created_at: Mapped[datetime]
    stripe_event_at: Mapped[datetime]


class EntitlementRow(Row):
    """A customer's entitlement to a feature. It is kept when no source grants it, so that versions go on.

    A seat's holder need not be a registered customer.
    """

    __tablename__ = "entitlements"

    customer: Mapped[str] = mapped_column(primary_key=True)
    feature: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    granted: Mapped[bool]
    """Whether any source grants it, and so whether its key is in the bucket."""
    allowed: Mapped[bool]
    quantity: Mapped[int | None]
    sources: Mapped[list[Any]]
    expires_at: Mapped[datetime | None]
    upcoming: Mapped[list[Any]] = mapped_column(server_default=text("'[]'"))
    """What replaces it when one of several sources ends, as in messages."""


class ParkedEventRow(Row):
    """A Stripe event about an unknown customer; it is replayed once the customer is linked."""

    __tablename__ = "parked_events"
    __table_args__ = (Index("ix_parked_events_stripe_customer_id", "stripe_customer_id"),)

    event_id: Mapped[str] = mapped_column(primary_key=True)
    stripe_customer_id: Mapped[str]
    parked_at: Mapped[datetime]
