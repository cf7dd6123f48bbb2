"""What is known of other services' entities, and what each account has coming from them.

The `known_…` tables hold the latest version heard of; nothing here is ever asked of another service.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Text

from services.consumables.tables.base import Row


class KnownFeatureRow(Row):
    """A feature of the catalog, as its latest event told it."""

    __tablename__ = "known_features"

    code: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    name: Mapped[str]
    kind: Mapped[str]
    unit_amount: Mapped[int | None]
    currency: Mapped[str | None]
    meter: Mapped[str | None]
    """The meter in Stripe that its usage is reported to."""
    archived: Mapped[bool]


class KnownSubscriptionRow(Row):
    """A subscription, as its latest event told it."""

    __tablename__ = "known_subscriptions"
    __table_args__ = (Index("ix_known_subscriptions_customer", "customer"),)

    subscription_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    customer: Mapped[str]
    product: Mapped[str | None]
    bought: Mapped[str]
    """Products and how many of each; when that changes, units of the running cycle are topped up."""
    status: Mapped[str]
    grants: Mapped[bool]
    """Whether units come: it is running and not `restricted`."""
    period_start: Mapped[datetime | None]
    period_end: Mapped[datetime | None]
    anchor: Mapped[datetime | None]
    """From where cycles are counted."""
    ended_at: Mapped[datetime | None]


class KnownCustomerRow(Row):
    """A customer, as the latest event told them: as far as units are concerned."""

    __tablename__ = "known_customers"

    customer: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    overrides: Mapped[list[Any]]
    """The snapshot's: the exceptions in force."""


class TermsRow(Row):
    """What a subscription gives of one feature to one kind of account on one rhythm."""

    __tablename__ = "terms"

    subscription_id: Mapped[str] = mapped_column(primary_key=True)
    slot: Mapped[str] = mapped_column(primary_key=True)
    feature: Mapped[str]
    kind: Mapped[str]
    reach: Mapped[str]
    every: Mapped[str | None]
    quantity: Mapped[int | None]
    rollover: Mapped[int]
    sold: Mapped[bool] = mapped_column(server_default=text("true"))
    """False once the subscription no longer gives it."""
    offered: Mapped[bool]
    """False once it is no longer sold, or taken away by an override; what was granted stays."""


class KnownTeamRow(Row):
    """A team, as its latest event told it."""

    __tablename__ = "known_teams"
    __table_args__ = (
        Index("ix_known_teams_subscription_id", "subscription_id"),
        Index("ix_known_teams_customer", "customer"),
        Index("ix_known_teams_billing_manager", "billing_manager"),
    )

    team_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    subscription_id: Mapped[str]
    customer: Mapped[str]
    billing_manager: Mapped[str | None]
    strategy: Mapped[str]
    suspended: Mapped[bool]
    closed: Mapped[bool]


class KnownSeatRow(Row):
    """A seat, as its latest event told it."""

    __tablename__ = "known_seats"
    __table_args__ = (
        Index("ix_known_seats_team_id", "team_id"),
        Index("ix_known_seats_subscription_id", "subscription_id"),
        Index("ix_known_seats_member", "member", postgresql_where=text("status = 'claimed'")),
    )

    seat_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    team_id: Mapped[str]
    subscription_id: Mapped[str]
    status: Mapped[str]
    member: Mapped[str | None]
    multiplier: Mapped[int]
    prorated: Mapped[bool]


class AllotmentRow(Row):
    """What one account has coming under some terms, and what it was granted last."""

    __tablename__ = "allotments"
    __table_args__ = (
        Index("ix_allotments_next_at", "next_at", "subscription_id", "slot", "account"),
        Index("ix_allotments_account", "account"),
    )

    subscription_id: Mapped[str] = mapped_column(primary_key=True)
    slot: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(primary_key=True)
    feature: Mapped[str]
    multiplier: Mapped[int]
    prorated: Mapped[bool]
    """Whether what a larger multiplier adds to the running cycle is only for what is left of it; false again
    once that is added, as it says nothing of what another plan adds."""
    cycle_number: Mapped[int | None]
    """Null: nothing was granted yet."""
    cycle_start: Mapped[datetime | None]
    granted: Mapped[int | None]
    """In the latest cycle, without what was carried over; null: unlimited, or nothing yet."""
    grant_ids: Mapped[list[Any]] = mapped_column(ARRAY(Text))
    """The grants of the latest cycle."""
    next_at: Mapped[datetime | None]
    """When something may be due; null: never again."""
    closed: Mapped[bool]
    """The seat was revoked or the subscription has ended."""
