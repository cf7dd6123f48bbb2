"""Balances, their grants and the ledger behind them, as they are told and asked for."""

from typing import Literal

from pydantic import Field, model_validator

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
    Told,
)
from tallystick.messages.consumables.types import SERVICE, Account, CountedKind, EntryKind, Priority


class GrantSource(Told):
    """Where a grant comes from."""

    kind: Literal["subscription", "recharge", "manual", "rollover"]
    subscription_id: EntityId | None = Field(default=None, description="Of grants that a plan gives.")
    product: Code | None = Field(default=None, description="Of grants that a plan gives.")
    recharge_id: EntityId | None = Field(default=None, description="Of units that were bought.")
    reason: str | None = Field(default=None, description="Of grants made by hand.")


class GrantSnapshot(Told):
    """Units given to an account at one time, and what is left of them."""

    grant_id: EntityId
    version: PositiveCount
    account: Account
    feature: Code
    quantity: Count | None = Field(description="Null: unlimited.")
    remaining: Count | None = Field(description="What may still be drawn; null: unlimited.")
    expires_at: Instant | None = Field(description="Null: never.")
    priority: Priority = Field(description="Of grants that expire together the lowest goes first.")
    source: GrantSource
    revoked: bool = Field(default=False, description="Taken back before its time.")
    created_at: Instant


class BalanceSnapshot(Told):
    """What an account has of one feature. granted = consumed + reserved + expired + remaining."""

    consumable_id: str = Field(description="Its key in the bucket: `team_team_01h….mentorship_hours`.")
    version: PositiveCount
    account: Account
    feature: Code
    kind: CountedKind
    granted: Count | None = Field(description="Null while a grant is unlimited.")
    consumed: Count
    reserved: Count
    expired: Count = Field(description="Lapsed or revoked unused.")
    remaining: Count | None = Field(description="Null: unlimited.")


class Entry(Told):
    """One entry of the ledger: units that moved."""

    entry_id: EntityId
    account: Account
    feature: Code
    grant_id: EntityId
    kind: EntryKind
    quantity: Count = Field(description="How many moved; `kind` says from where to where.")
    consumer: Customer | None = Field(description="Who used or reserved them.")
    caused_by: str = Field(description="The command id, event id or tick behind it.")
    reservation_id: EntityId | None = None
    metadata: Metadata | None = Field(default=None, description="As given with the command.")
    occurred_at: Instant


class BucketBalance(Told):
    """The value of a key in the bucket `billing_balances`."""

    remaining: Count | None = Field(description="Null: unlimited.")
    version: PositiveCount


class Balance(Told):
    """The answer to `get_balance`: one account's, or the sum of all that a consumer may draw on."""

    granted: Count | None = Field(description="Null while a grant is unlimited.")
    consumed: Count
    reserved: Count
    expired: Count
    remaining: Count | None = Field(description="Null: unlimited.")
    grants: list[GrantSnapshot] = Field(description="Those not used up yet, in the order they are drawn on.")


class BalancePage(Told):
    """A page of balances, by account and feature."""

    items: list[BalanceSnapshot]
    next_cursor: str | None = None


class EntryPage(Told):
    """A page of the ledger, newest first."""

    items: list[Entry]
    next_cursor: str | None = None


class GetBalance(Question[Balance], service=SERVICE, rejections=("no_account",)):
    """What an account has of a feature, or what a consumer may draw on in all."""

    account: Account | None = None
    consumer: Customer | None = None
    feature: Code

    @model_validator(mode="after")
    def _one_of_both(self) -> "GetBalance":
        _one_of(self.account, self.consumer)
        return self


class ListBalances(Page, Question[BalancePage], service=SERVICE):
    """All balances of an account, or all that a consumer may draw on."""

    account: Account | None = None
    consumer: Customer | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "ListBalances":
        _one_of(self.account, self.consumer)
        return self


class ListEntries(Page, Question[EntryPage], service=SERVICE):
    """An account's ledger, newest first."""

    account: Account
    feature: Code | None = None
    since: Instant | None = Field(default=None, description="From this moment on.")
    until: Instant | None = Field(default=None, description="Before this moment.")


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
    ),
):
    """A balance changed: by which entries, and where it stands now.

    One `consumedV1` tells of everything that one commit drew from a balance. `lowV1`: less than the
    auto-recharge's threshold remains, or without one, no more than 20% of the last grant.
    """

    consumable: BalanceSnapshot
    entries: list[Entry] = Field(default=[], description="Empty for `lowV1` and `exhaustedV1`.")
    grant: GrantSnapshot | None = Field(default=None, description="Of `grantedV1` and `revokedV1`.")


def _one_of(account: str | None, consumer: Customer | None) -> None:
    if (account is None) == (consumer is None):
        raise ValueError("give either account or consumer")
