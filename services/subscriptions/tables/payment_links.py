"""Payment links, the payments made through them, and the Stripe customers that Stripe makes for each."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from services.subscriptions.tables.base import Row
from services.subscriptions.tables.subscriptions import CustomerRow


class PaymentLinkRow(Row):
    """A payment link. Every use of it locks this row."""

    __tablename__ = "payment_links"

    payment_link_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    url: Mapped[str]
    status: Mapped[str]
    items: Mapped[list[Any]]
    after_url: Mapped[str | None]
    # Not named `metadata`, which SQLAlchemy reserves.
    notes: Mapped[dict[str, Any]] = mapped_column("metadata")
    customer: Mapped[str | None]
    uses_max: Mapped[int | None]
    uses: Mapped[int] = mapped_column(server_default=text("0"))
    """Accepted uses."""
    stripe_payment_link_id: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime]


class PaymentLinkUseRow(Row):
    """A completed payment through a link."""

    __tablename__ = "payment_link_uses"
    __table_args__ = (Index("ix_payment_link_uses_link", "payment_link_id", "use_id"),)

    use_id: Mapped[str] = mapped_column(primary_key=True)
    payment_link_id: Mapped[str] = mapped_column(ForeignKey(PaymentLinkRow.payment_link_id))
    customer: Mapped[str] = mapped_column(ForeignKey(CustomerRow.customer))
    subscription_id: Mapped[str | None]
    invoice_id: Mapped[str | None]
    outcome: Mapped[str]
    reason: Mapped[str | None]
    stripe_checkout_id: Mapped[str] = mapped_column(unique=True)
    used_at: Mapped[datetime]


class FurtherStripeCustomerRow(Row):
    """Another Stripe customer of a customer: each payment through a link makes one."""

    __tablename__ = "further_stripe_customers"

    stripe_customer_id: Mapped[str] = mapped_column(primary_key=True)
    customer: Mapped[str] = mapped_column(ForeignKey(CustomerRow.customer))
