"""Accounts, balances, grants, the ledger, and what follows from them.

Whoever changes anything of a balance locks its row first; several of them in the order of account, feature.
"""

from datetime import date, datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.consumables.tables.base import Row
from shared.persistence.partitions import RetentionPolicy, partitioned_by_generation

LEDGER_KEPT_DAYS = 400
"""Entries are listed for a year and a month: long enough to compare a month with the one a year before."""
ROOM_FOR_UPDATES = {"postgresql_with": {"fillfactor": 60}}
"""Rows that change all the time find room for their next version on their own page."""


class AccountRow(Row):
    """Whoever holds units."""

    __tablename__ = "accounts"
    __table_args__ = (
        Index("ix_accounts_customer", "customer"),
        {"comment": "Who holds units: `customer:…`, `team:…`, `seat:…`, and who pays for them."},
    )

    account: Mapped[str] = mapped_column(primary_key=True)
    customer: Mapped[str]
    """The token of the customer who pays."""
    suspended: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[datetime]


class AccessRow(Row):
    """That a consumer may draw on an account that is not their own: a seat they claimed, a team's pool."""

    __tablename__ = "access"
    __table_args__ = (
        Index("ix_access_account", "account"),
        {"comment": "Who may draw on which seats and pools; everybody's own account goes without saying."},
    )

    consumer: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(primary_key=True)


class BalanceRow(Row):
    """What an account has of one feature."""

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
    """Counts the events told of it."""
    granted: Mapped[int] = mapped_column(server_default=text("0"))
    beyond: Mapped[int] = mapped_column(server_default=text("0"))
    """Of what is consumed and reserved, how much came from unlimited grants."""
    consumed: Mapped[int] = mapped_column(server_default=text("0"))
    reserved: Mapped[int] = mapped_column(server_default=text("0"))
    expired: Mapped[int] = mapped_column(server_default=text("0"))
    """Lapsed or revoked."""
    remaining: Mapped[int] = mapped_column(server_default=text("0"))
    unlimited: Mapped[int] = mapped_column(server_default=text("0"))
    """How many unlimited grants are open."""
    excess: Mapped[int] = mapped_column(server_default=text("0"))
    """Of a limit that was lowered, or of which a part has ended: how many units in use are above it.
    Releasing frees these first."""
    last_granted: Mapped[int] = mapped_column(server_default=text("0"))
    """The quantity of the last grant; without a threshold, a fifth of it is low."""
    threshold: Mapped[int | None]
    """Of its auto-recharge, while that is on."""


class GrantRow(Row):
    """Units given to an account at one time."""

    __tablename__ = "grants"
    __table_args__ = (
        CheckConstraint(
            "quantity IS NULL AND remaining = 0 OR quantity = consumed + reserved + expired + remaining",
            name="every_unit_is_somewhere",
        ),
        CheckConstraint("least(consumed, reserved, expired, remaining) >= 0", name="never_below_zero"),
        # No foreign key to the balance, which is locked whenever a grant is made and never deleted: looking
        # for it again took a tenth of the time of a renewal.
        # What can be drawn on, however many were used up before.
        Index("ix_grants_open", "account", "feature", postgresql_where=text("open")),
        Index("ix_grants_due", "expires_at", postgresql_where=text("open AND expires_at IS NOT NULL")),
        Index("ix_grants_balance", "account", "feature", "created_at"),
        {"comment": "Units given at one time, where they come from and where they are.", **ROOM_FOR_UPDATES},
    )

    grant_id: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str]
    feature: Mapped[str]
    key: Mapped[str | None] = mapped_column(unique=True)
    """Says what it was granted for, so that nothing is granted twice for the same."""
    version: Mapped[int] = mapped_column(server_default=text("1"))
    quantity: Mapped[int | None]
    """Null: unlimited. Of a limit, once it has ended, what was in use of it then."""
    consumed: Mapped[int] = mapped_column(server_default=text("0"))
    reserved: Mapped[int] = mapped_column(server_default=text("0"))
    expired: Mapped[int] = mapped_column(server_default=text("0"))
    remaining: Mapped[int]
    """0 of an unlimited one."""
    expires_at: Mapped[datetime | None]
    priority: Mapped[int]
    source: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    """When it expired or was revoked: what comes back to it later lapses, unless a limit has room for it."""
    revoked: Mapped[bool] = mapped_column(server_default=text("false"))
    open: Mapped[bool] = mapped_column(server_default=text("true"))
    """Whether something can be drawn from it, as long as it is unlimited or something of it remains. Of a
    limit also what has an end to come, which lowers the ceiling even when all of it is in use."""


LEDGER_RETENTION = RetentionPolicy(
    LEDGER_KEPT_DAYS,
    # The sums stay: what was granted is still consumed, reserved, expired or remaining.
    closing="""
        INSERT INTO {schema}.closed_entries AS closed (account, feature, kind, quantity)
        SELECT account, feature, kind, sum(quantity) FROM {partition} GROUP BY account, feature, kind
        ON CONFLICT (account, feature, kind) DO UPDATE SET quantity = closed.quantity + excluded.quantity""",
)


class EntryRow(Row):
    """An entry of the ledger: units that moved. Never changed; dropped with its partition after a year."""

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
    # Not called `metadata`, which is SQLAlchemy's own on a row.
    notes: Mapped[dict[str, Any] | None] = mapped_column("metadata", JSONB(none_as_null=True))
    occurred_at: Mapped[datetime]
    generation: Mapped[date] = mapped_column(primary_key=True, server_default=text("'-infinity'"))
    """The day on which its partition was opened; never named in an INSERT."""


class ClosedEntryRow(Row):
    """What the entries of one kind add up to that are not kept any more."""

    __tablename__ = "closed_entries"
    __table_args__ = ({"comment": "What the entries add up to that are not kept any more."},)

    account: Mapped[str] = mapped_column(primary_key=True)
    feature: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    quantity: Mapped[int]


class ReservationRow(Row):
    """Units set aside for a while."""

    __tablename__ = "reservations"
    __table_args__ = (
        Index("ix_reservations_due", "expires_at", postgresql_where=text("status = 'open'")),
        {"comment": "Units set aside: from which grants, until when, and what became of them."},
    )

    reservation_id: Mapped[str] = mapped_column(primary_key=True)
    consumer: Mapped[str]
    feature: Mapped[str]
    account: Mapped[str | None]
    """The account it was asked to be drawn from; null: any that the consumer may draw on."""
    status: Mapped[str]
    """`open`, then `committed`, `released` or `expired`."""
    drawn: Mapped[list[Any]]
    """What was set aside: `{account, grant_id, quantity}` each."""
    used: Mapped[list[Any] | None] = mapped_column(JSONB(none_as_null=True))
    """What was used of it, in the same form, once it is committed."""
    notes: Mapped[dict[str, Any] | None] = mapped_column("metadata", JSONB(none_as_null=True))
    expires_at: Mapped[datetime]
    created_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]


class RefundRow(Row):
    """How much of a consumption was given back."""

    __tablename__ = "refunds"
    __table_args__ = ({"comment": "How much of each consumption was given back; none for most."},)

    consumption_id: Mapped[str] = mapped_column(primary_key=True)
    refunded: Mapped[int]


class UsageRow(Row):
    """What one consumer used of a feature on one day, from one account."""

    __tablename__ = "usage_days"
    __table_args__ = (
        CheckConstraint("quantity >= 0", name="never_below_zero"),
        {
            "comment": "Usage by day, kept while consuming, so that nobody scans the ledger.",
            **ROOM_FOR_UPDATES,
        },
    )

    customer: Mapped[str] = mapped_column(primary_key=True)
    """Who pays for the account."""
    feature: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[datetime] = mapped_column(primary_key=True)
    """Midnight UTC."""
    consumer: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(primary_key=True)
    quantity: Mapped[int]


class AutoRechargeRow(Row):
    """How an account buys more of a feature by itself."""

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
    """In the minor unit of `currency`, for a billing period; null: no bound."""
    currency: Mapped[str]
    failures: Mapped[int] = mapped_column(server_default=text("0"))
    """In a row."""
    suspended: Mapped[bool] = mapped_column(server_default=text("false"))
    skip_told: Mapped[str | None]
    """For which period and why it was last told that nothing is bought, which is told once."""


class RechargeRow(Row):
    """Units being bought."""

    __tablename__ = "recharges"
    __table_args__ = (
        # One in flight for an account and feature, whoever crosses the threshold together.
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
