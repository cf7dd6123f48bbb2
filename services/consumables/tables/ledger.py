"""Tables of accounts, balances, grants, the ledger, reservations, usage and recharges.

A transaction locks the row of a balance before it changes anything that belongs to it, and locks several
balances in the order of account and feature.
"""

from datetime import date, datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, Index, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.consumables.tables.base import Row
from shared.persistence.partitions import RetentionPolicy, partitioned_by_generation

LEDGER_KEPT_DAYS = 400
"""Ledger entries are kept for a year and a month, so that a month can be compared with the year before."""
ROOM_FOR_UPDATES = {"postgresql_with": {"fillfactor": 60}}
"""The fill factor of tables with frequent updates: a new row version fits on the same page."""


class AccountRow(Row):
    """An account that holds units: a customer's own, a team's pool or a seat's."""

    __tablename__ = "accounts"
    __table_args__ = (
        Index("ix_accounts_customer", "customer"),
        {"comment": "Who holds units: `customer:…`, `team:…`, `seat:…`, and who pays for them."},
    )

    account: Mapped[str] = mapped_column(primary_key=True)
    customer: Mapped[str]
    """The token of the customer who pays for the account."""
    suspended: Mapped[bool] = mapped_column(server_default=text("false"))
    suspends_at: Mapped[datetime | None]
    """When the grace period ends of the payment that is due: the account is suspended then, told or not."""
    created_at: Mapped[datetime]


class AccessRow(Row):
    """The permission of a consumer to draw on an account other than their own: a claimed seat or a pool."""

    __tablename__ = "access"
    __table_args__ = (
        Index("ix_access_account", "account"),
        {"comment": "Who may draw on which seats and pools; everybody's own account goes without saying."},
    )

    consumer: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(primary_key=True)


class BalanceRow(Row):
    """The units of one feature in an account, by state."""

    __tablename__ = "balances"
    __table_args__ = (
        CheckConstraint(
            "granted + beyond = consumed + reserved + expired + remaining", name="every_unit_is_somewhere"
        ),
        CheckConstraint(
            "least(granted, beyond, consumed, reserved, expired, remaining, unlimited, excess) >= 0",
            name="never_below_zero",
        ),
        ForeignKeyConstraint(["account"], ["consumables.accounts.account"], name="fk_balances_account"),
        Index("ix_balances_unlimited", "feature", postgresql_where=text("unlimited > 0")),
        {
            "comment": "What each account has of each feature: where all the units ever granted are now.",
            **ROOM_FOR_UPDATES,
        },
    )

    account: Mapped[str] = mapped_column(primary_key=True)
    feature: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    """`limit` or `consumable`."""
    version: Mapped[int] = mapped_column(server_default=text("0"))
    """The version of the last event that was emitted; 0: none yet."""
    granted: Mapped[int] = mapped_column(server_default=text("0"))
    beyond: Mapped[int] = mapped_column(server_default=text("0"))
    """Units consumed and reserved that were drawn from unlimited grants."""
    consumed: Mapped[int] = mapped_column(server_default=text("0"))
    reserved: Mapped[int] = mapped_column(server_default=text("0"))
    expired: Mapped[int] = mapped_column(server_default=text("0"))
    """Units that expired or were revoked."""
    remaining: Mapped[int] = mapped_column(server_default=text("0"))
    unlimited: Mapped[int] = mapped_column(server_default=text("0"))
    """How many unlimited grants are open."""
    excess: Mapped[int] = mapped_column(server_default=text("0"))
    """Units of a limit in use above its ceiling, after the limit was lowered or one of its grants ended.
    Releasing units reduces this first."""
    last_granted: Mapped[int] = mapped_column(server_default=text("0"))
    """The quantity of the last grant; without a threshold the balance is low at a fifth of it."""
    threshold: Mapped[int | None]
    """The threshold of the balance's auto-recharge, while that is enabled."""
    alert_at: Mapped[int | None]
    """The next usage alert is reached when no more units than these remain; null: there are no alerts."""


class GrantRow(Row):
    """Units granted to an account at one time."""

    __tablename__ = "grants"
    __table_args__ = (
        CheckConstraint(
            "quantity IS NULL AND remaining = 0 OR quantity = consumed + reserved + expired + remaining",
            name="every_unit_is_somewhere",
        ),
        CheckConstraint("least(consumed, reserved, expired, remaining) >= 0", name="never_below_zero"),
        # No foreign key to the balance, which is locked whenever a grant is made and never deleted: checking
        # the key took a tenth of the time of a renewal.
        # Finds the grants to draw from, however many used-up ones there are.
        Index("ix_grants_open", "account", "feature", postgresql_where=text("open")),
        Index("ix_grants_due", "expires_at", postgresql_where=text("open AND expires_at IS NOT NULL")),
        Index("ix_grants_balance", "account", "feature", "created_at"),
        Index(
            "ix_grants_used_up",
            "account",
            "feature",
            "expires_at",
            postgresql_where=text("NOT open AND ended_at IS NULL"),
        ),
        {"comment": "Units given at one time, where they come from and where they are.", **ROOM_FOR_UPDATES},
    )

    grant_id: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str]
    feature: Mapped[str]
    key: Mapped[str | None] = mapped_column(unique=True)
    """What the grant is for; the unique key prevents granting twice for the same reason."""
    version: Mapped[int] = mapped_column(server_default=text("1"))
    quantity: Mapped[int | None]
    """Null: unlimited. An unlimited grant of a limit gets the quantity in use when it ends."""
    consumed: Mapped[int] = mapped_column(server_default=text("0"))
    reserved: Mapped[int] = mapped_column(server_default=text("0"))
    expired: Mapped[int] = mapped_column(server_default=text("0"))
    remaining: Mapped[int]
    """0 for an unlimited grant."""
    expires_at: Mapped[datetime | None]
    priority: Mapped[int]
    source: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    """When it expired or was revoked. Units given back later expire at once, unless a limit has room for
    them."""
    revoked: Mapped[bool] = mapped_column(server_default=text("false"))
    open: Mapped[bool] = mapped_column(server_default=text("true"))
    """Whether units can be drawn from it: it is unlimited or units remain. A grant of a limit with an expiry
    is open until then, as its end lowers the ceiling even if all its units are in use."""


LEDGER_RETENTION = RetentionPolicy(
    LEDGER_KEPT_DAYS,
    # The sums are kept, as balances still contain the units of dropped entries.
    closing="""
        INSERT INTO {schema}.closed_entries AS closed (account, feature, kind, quantity)
        SELECT account, feature, kind, sum(quantity) FROM {partition} GROUP BY account, feature, kind
        ON CONFLICT (account, feature, kind) DO UPDATE SET quantity = closed.quantity + excluded.quantity""",
)


class EntryRow(Row):
    """A ledger entry: units that changed state. Never updated; dropped with its partition after a year."""

    __tablename__ = "entries"
    __table_args__ = (
        CheckConstraint("quantity > 0", name="something_moved"),
        Index("ix_entries_account", "account", "occurred_at", "entry_id"),
        {
            "comment": "The ledger: every unit that moved, from where to where, who moved it and why.",
            **partitioned_by_generation(LEDGER_RETENTION),
        },
    )

    entry_id: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str]
    feature: Mapped[str]
    grant_id: Mapped[str]
    kind: Mapped[str]
    quantity: Mapped[int]
    consumer: Mapped[str | None]
    caused_by: Mapped[str]
    reservation_id: Mapped[str | None]
    # SQLAlchemy reserves the attribute `metadata`.
    notes: Mapped[dict[str, Any] | None] = mapped_column("metadata", JSONB(none_as_null=True))
    occurred_at: Mapped[datetime]
    generation: Mapped[date] = mapped_column(primary_key=True, server_default=text("'-infinity'"))
    """The day on which the partition was opened, set by its column default."""


class ClosedEntryRow(Row):
    """The sum of the dropped ledger entries of one kind, account and feature."""

    __tablename__ = "closed_entries"
    __table_args__ = ({"comment": "What the entries add up to that are not kept any more."},)

    account: Mapped[str] = mapped_column(primary_key=True)
    feature: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    quantity: Mapped[int]


class ReservationRow(Row):
    """Units reserved until they are committed, released or expire."""

    __tablename__ = "reservations"
    __table_args__ = (
        Index("ix_reservations_due", "expires_at", postgresql_where=text("status = 'open'")),
        {"comment": "Units set aside: from which grants, until when, and what became of them."},
    )

    reservation_id: Mapped[str] = mapped_column(primary_key=True)
    consumer: Mapped[str]
    feature: Mapped[str]
    account: Mapped[str | None]
    """The account that the command named; null: any that the consumer may draw on."""
    status: Mapped[str]
    """`open`, then `committed`, `released` or `expired`."""
    drawn: Mapped[list[Any]]
    """The reserved units as objects `{account, grant_id, quantity}`."""
    used: Mapped[list[Any] | None] = mapped_column(JSONB(none_as_null=True))
    """The units consumed by the commit, in the same form; null until then."""
    notes: Mapped[dict[str, Any] | None] = mapped_column("metadata", JSONB(none_as_null=True))
    expires_at: Mapped[datetime]
    created_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]


class RefundRow(Row):
    """The number of units of a consumption that were refunded."""

    __tablename__ = "refunds"
    __table_args__ = ({"comment": "How much of each consumption was given back; none for most."},)

    consumption_id: Mapped[str] = mapped_column(primary_key=True)
    refunded: Mapped[int]


class UsageRow(Row):
    """The units of a feature that one consumer used from one account on one day."""

    __tablename__ = "usage_days"
    __table_args__ = (
        CheckConstraint("quantity >= 0", name="never_below_zero"),
        {
            "comment": "Usage by day, kept while consuming, so that nobody scans the ledger.",
            **ROOM_FOR_UPDATES,
        },
    )

    customer: Mapped[str] = mapped_column(primary_key=True)
    """The token of the customer who pays for the account."""
    feature: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[datetime] = mapped_column(primary_key=True)
    """Midnight UTC."""
    consumer: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(primary_key=True)
    quantity: Mapped[int]
    overage: Mapped[int] = mapped_column(server_default=text("0"))
    """How many of them were beyond the included ones."""


class UsageAlertsRow(Row):
    """The usage alerts of an account and feature."""

    __tablename__ = "usage_alerts"
    __table_args__ = ({"comment": "At which percentages of a cycle's units an event tells of the usage."},)

    account: Mapped[str] = mapped_column(primary_key=True)
    feature: Mapped[str] = mapped_column(primary_key=True)
    percents: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    reached: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    """Those that the running cycle has reached."""


class AutoRechargeRow(Row):
    """The auto-recharge of an account and feature."""

    __tablename__ = "auto_recharges"
    __table_args__ = (
        {"comment": "Which accounts buy more of what by themselves, when, how much, and up to which spend."},
    )

    account: Mapped[str] = mapped_column(primary_key=True)
    feature: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    enabled: Mapped[bool]
    threshold: Mapped[int]
    recharge_quantity: Mapped[int]
    max_spend_amount: Mapped[int | None]
    """The spend cap for a billing period in the minor unit of `currency`; null: no cap."""
    currency: Mapped[str]
    failures: Mapped[int] = mapped_column(server_default=text("0"))
    """Consecutive failed charges."""
    suspended: Mapped[bool] = mapped_column(server_default=text("false"))
    skip_told: Mapped[str | None]
    """The reason, and for the spend cap the period, of the last `skipped` event; it is emitted once."""


class RechargeRow(Row):
    """A purchase of units."""

    __tablename__ = "recharges"
    __table_args__ = (
        # At most one pending recharge for an account and feature, even if several commands find it low.
        Index(
            "uq_recharges_in_flight",
            "account",
            "feature",
            unique=True,
            postgresql_where=text("status = 'pending'"),
        ),
        Index("ix_recharges_account", "account", "recharge_id"),
        {"comment": "Units being bought, by hand or by themselves, and what became of the charge."},
    )

    recharge_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    account: Mapped[str]
    feature: Mapped[str]
    quantity: Mapped[int]
    amount: Mapped[int]
    currency: Mapped[str]
    status: Mapped[str]
    """`pending`, then `paid` or `failed`; or `skipped`."""
    reason: Mapped[str | None]
    automatic: Mapped[bool]
    invoice_id: Mapped[str | None]
    created_at: Mapped[datetime]
    amount_refunded: Mapped[int] = mapped_column(server_default=text("0"))
    """What of the amount was refunded, or lost in a dispute."""
    units_taken_back: Mapped[int] = mapped_column(server_default=text("0"))
    units_used: Mapped[int] = mapped_column(server_default=text("0"))
    """Units of what was refunded that had been used."""
    invoice_version: Mapped[int] = mapped_column(server_default=text("0"))
    """The version of the invoice whose refunds were followed last."""
