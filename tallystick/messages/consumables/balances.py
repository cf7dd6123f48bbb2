"""Balances, grants and ledger entries: snapshots, questions and events."""

from typing import Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from tallystick.messages.base import (
    Code,
    Count,
    Customer,
    EntityId,
    Event,
    Instant,
    Metadata,
    Page,
    PositiveCount,
    Question,
    TolerantModel,
)
from tallystick.messages.consumables.overage import OverageOwed
from tallystick.messages.consumables.types import SERVICE, Account, CountedKind, EntryKind, Priority


class GrantSource(TolerantModel):
    """Origin of a grant."""

    kind: Literal["subscription", "recharge", "manual", "rollover", "overage"]
    subscription_id: EntityId | None = Field(default=None, description="Of plan grants.")
    product: Code | None = Field(default=None, description="Product code, of plan grants.")
    recharge_id: EntityId | None = Field(default=None, description="Of recharged units.")
    reason: str | None = Field(default=None, description="Of manual grants.")


class GrantSnapshot(TolerantModel):
    """Units granted to an account, and how many are left."""

    grant_id: EntityId
    version: PositiveCount
    account: Account
    feature: Code
    quantity: Count | None = Field(description="Granted units; null: unlimited.")
    remaining: Count | None = Field(description="Units that may still be drawn; null: unlimited.")
    expires_at: Instant | None = Field(description="Null: never expires.")
    priority: Priority = Field(
        description="Among grants with the same expiry, the lowest priority is drawn first."
    )
    source: GrantSource
    revoked: bool = Field(default=False, description="Revoked before it expired.")
    created_at: Instant


class BalanceSnapshot(TolerantModel):
    """Balance of an account for one feature. granted = consumed + reserved + expired + remaining."""

    consumable_id: str = Field(description="Key in the bucket, such as `team_team_01h….mentorship_hours`.")
    version: PositiveCount
    account: Account
    feature: Code
    kind: CountedKind
    granted: Count | None = Field(description="Granted units; null while a grant is unlimited.")
    consumed: Count
    reserved: Count
    expired: Count = Field(description="Units that expired or were revoked unused.")
    remaining: Count | None = Field(description="Units that may be drawn; null: unlimited.")


class Entry(TolerantModel):
    """Ledger entry: one movement of units."""

    entry_id: EntityId
    account: Account
    feature: Code
    grant_id: EntityId
    kind: EntryKind
    quantity: Count = Field(description="Number of units; `kind` says how they moved.")
    consumer: Customer | None = Field(description="Customer who used or reserved the units.")
    caused_by: str = Field(description="Command id, event id or tick that caused it.")
    reservation_id: EntityId | None = None
    metadata: Metadata | None = Field(default=None, description="Metadata of the command.")
    occurred_at: Instant


class BucketBalance(TolerantModel):
    """Value of a key in the bucket `billing_balances`."""

    remaining: Count | None = Field(description="Units that may be drawn; null: unlimited.")
    version: PositiveCount


class Balance(TolerantModel):
    """Answer to `get_balance`: the balance of one account, or of all accounts a consumer may draw from."""

    granted: Count | None = Field(description="Granted units; null while a grant is unlimited.")
    consumed: Count
    reserved: Count
    expired: Count
    remaining: Count | None = Field(description="Units that may be drawn; null: unlimited.")
    total: Count | None = Field(
        default=None,
        description="The whole that `remaining` is a part of: the ceiling of a limit; of a consumable the "
        "units of the grants that have not ended, used up or not. A used-up grant that never expires counts "
        "until the cycle in which it was made ends. Null: unlimited.",
    )
    overage: OverageOwed | None = Field(
        default=None, description="Units beyond the included ones that are on no invoice yet; null: none."
    )
    grants: list[GrantSnapshot] = Field(
        description="Grants with units left, in the order they are drawn from."
    )


class BalancePage(TolerantModel):
    """Page of balances, by account and feature."""

    items: list[BalanceSnapshot]
    next_cursor: str | None = None


class EntryPage(TolerantModel):
    """Page of ledger entries, newest first."""

    items: list[Entry]
    next_cursor: str | None = None


class GetBalance(Question[Balance], service=SERVICE, rejections=("no_account",)):
    """Get the balance of an account, or of all accounts a consumer may draw from."""

    account: Account | None = None
    consumer: Customer | None = None
    feature: Code

    @model_validator(mode="after")
    def _require_account_or_consumer(self) -> "GetBalance":
        _require_one(self.account, self.consumer)
        return self


class ListBalances(Page, Question[BalancePage], service=SERVICE):
    """List the balances of an account, or of all accounts a consumer may draw from."""

    account: Account | None = None
    consumer: Customer | None = None

    @model_validator(mode="after")
    def _require_account_or_consumer(self) -> "ListBalances":
        _require_one(self.account, self.consumer)
        return self


class ListEntries(Page, Question[EntryPage], service=SERVICE):
    """List the ledger entries of an account, newest first."""

    account: Account
    feature: Code | None = None
    since: Instant | None = Field(default=None, description="Entries at or after this time.")
    until: Instant | None = Field(default=None, description="Entries before this time.")


class ConsumableEvent(
    Event,
    service=SERVICE,
    entity="consumable",
    names=(
        "granted",
        "consumed",
        "reserved",
        "released",
        "refunded",
        "expired",
        "revoked",
        "low",
        "exhausted",
        "thresholdReached",
    ),
):
    """A balance changed; carries the ledger entries and the new balance.

    One `consumedV1` covers everything that one commit drew from a balance. `lowV1`: fewer units remain than
    the threshold of the auto-recharge or, without one, at most 20% of the last grant. `thresholdReachedV1`: a
    usage alert was reached.
    """

    consumable: BalanceSnapshot
    entries: list[Entry] = Field(
        default=[], description="Ledger entries of the change; empty for `lowV1` and `exhaustedV1`."
    )
    grant: GrantSnapshot | None = Field(default=None, description="Only with `grantedV1` and `revokedV1`.")
    percent: int | None = Field(
        default=None, description="Only with `thresholdReachedV1`: the percentage of the cycle's units."
    )

    # Without a return type, so that the published schema remains that of the fields.
    @model_serializer(mode="wrap")
    def _without_percent(self, serialize: SerializerFunctionWrapHandler):  # type: ignore[no-untyped-def]
        fields = serialize(self)
        if self.percent is None:
            del fields["percent"]
        return fields


def _require_one(account: str | None, consumer: Customer | None) -> None:
    if (account is None) == (consumer is None):
        raise ValueError("give either account or consumer")
