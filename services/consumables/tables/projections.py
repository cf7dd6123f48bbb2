"""Tables of the projections of other services' entities, and of the allotments derived from them.

The `known_…` tables hold the latest version of each entity from the change feed. This service never queries
another service for them.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Text

from services.consumables.tables.base import Row


class KnownFeatureRow(Row):
    """The projection of a catalog feature."""

    __tablename__ = "known_features"

    code: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    name: Mapped[str]
    kind: Mapped[str]
    unit_amount: Mapped[int | None]
    currency: Mapped[str | None]
    meter: Mapped[str | None]
    """The Stripe meter that usage is reported to; null: usage is not reported."""
    archived: Mapped[bool]
    overage_amount: Mapped[int | None]
    """The price of a unit beyond the included ones, in the currency's minor unit; null: refused."""
    overage_currency: Mapped[str | None]
    overage_cap: Mapped[int | None]
    """The most such units in an account and billing period; null: no cap."""


class KnownSubscriptionRow(Row):
    """The projection of a subscription; a granting override has a row as well."""

    __tablename__ = "known_subscriptions"
    __table_args__ = (Index("ix_known_subscriptions_customer", "customer"),)

    subscription_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    customer: Mapped[str]
    product: Mapped[str | None]
    bought: Mapped[str]
    """The products with their quantities; when this changes, the running cycle is topped up."""
    status: Mapped[str]
    grants: Mapped[bool]
    """Whether the subscription grants units: its status grants and it is not `restricted`."""
    period_start: Mapped[datetime | None]
    period_end: Mapped[datetime | None]
    anchor: Mapped[datetime | None]
    """The moment from which cycles are counted."""
    ended_at: Mapped[datetime | None]
    grace_until: Mapped[datetime | None]
    """The end of the grace period while the subscription is past due."""
    ends_at: Mapped[datetime | None]
    """When the subscription will end, as far as that is known; its units end then, told or not."""
    cut_at: Mapped[datetime | None]
    """When the current period began, if that cut the one before short, whose rest was given back."""


class KnownCustomerRow(Row):
    """The projection of a customer's overrides."""

    __tablename__ = "known_customers"

    customer: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    overrides: Mapped[list[Any]]
    """The overrides in force, as in the customer's snapshot."""


class TermsRow(Row):
    """The units of one feature that a subscription grants to one kind of account in every cycle."""

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
    """False once the subscription no longer includes the terms."""
    offered: Mapped[bool]
    """False once the terms are no longer sold, or revoked by an override; granted units stay."""


class KnownTeamRow(Row):
    """The projection of a team."""

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
    """The projection of a seat."""

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
    """The entitlement of one account to units under some terms, with the latest cycle that was granted."""

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
    """Whether a larger multiplier tops up the running cycle only for the part that is left of it. Reset after
    the top-up, so that it does not apply to a change of plan."""
    cycle_number: Mapped[int | None]
    """Null: nothing was granted yet."""
    cycle_start: Mapped[datetime | None]
    granted: Mapped[int | None]
    """Units granted in the latest cycle, without the rollover; null: unlimited, or nothing yet."""
    withheld: Mapped[int] = mapped_column(server_default=text("0"))
    """Units used in an earlier cycle that was cut short before it had paid for them; the latest cycle counts
    them as used."""
    grant_ids: Mapped[list[Any]] = mapped_column(ARRAY(Text))
    """The grants of the latest cycle."""
    next_at: Mapped[datetime | None]
    """When units may be due next; null: never again."""
    closed: Mapped[bool]
    """Whether the seat was revoked or the subscription has ended."""
