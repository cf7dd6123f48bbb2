"""The ledger of sellers: balances, entries, and corrections by hand."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tallystick.messages.base import (
    Amount,
    Code,
    Command,
    Count,
    Currency,
    EntityId,
    Event,
    Instant,
    Money,
    Page,
    PositiveCount,
    Question,
    Text,
    TolerantModel,
)
from tallystick.messages.payouts.types import SERVICE, Seller

EntryKind = Literal["earned", "fee", "reversed", "adjusted", "paid_out", "returned"]
"""`reversed`: a refund, a lost dispute or a credit. `returned`: a payout that failed or was reversed."""


class SellerEntrySnapshot(TolerantModel):
    """Entry of the ledger; it never changes."""

    entry_id: EntityId
    customer: Seller
    kind: EntryKind
    amount: Money = Field(description="Always positive, except of `adjusted`.")
    pending_change: Amount = Field(description="What the entry adds to the pending amount.")
    available_change: Amount = Field(description="What the entry adds to the available amount.")
    invoice_id: EntityId | None
    product: Code | None
    share_percent: Count | None
    payout_id: EntityId | None
    available_at: Instant | None = Field(description="When the pending part becomes available.")
    reason: str | None
    caused_by: str
    occurred_at: Instant


class CurrencyBalance(TolerantModel):
    """What a seller has in one currency, in its minor unit.

    Always `earned` − `fee` − `reversed` + `adjusted` + `returned` = `pending` + `available` + `paid_out`.
    """

    currency: Currency
    pending: Count = Field(description="Held until the hold days are over, or a dispute is closed.")
    available: Amount = Field(description="Can be paid out; below zero, it is set off against what comes.")
    paid_out: Count = Field(description="Sum of all payouts, those that came back (`returned`) included.")
    owed: Amount = Field(description="What the platform owes the seller: pending and available.")
    earned: Count
    fee: Count
    reversed: Count
    adjusted: Amount
    returned: Count


class SellerBalanceSnapshot(CurrencyBalance):
    """Snapshot of a seller's balance in one currency."""

    seller_balance_id: str = Field(description="Seller and currency, such as `organization_acme.eur`.")
    version: PositiveCount
    customer: Seller


class SellerBalances(TolerantModel):
    """A seller's balances, one for each currency."""

    customer: Seller
    items: list[CurrencyBalance]


class EntryFound(TolerantModel):
    """Entry that the command made."""

    entry: SellerEntrySnapshot


class SellerEntryPage(TolerantModel):
    """Page of ledger entries, newest first."""

    items: list[SellerEntrySnapshot]
    next_cursor: str | None = None


class AdjustSellerBalance(Command[EntryFound], service=SERVICE):
    """Correct a seller's available balance by hand: a bonus, or a debt (negative)."""

    customer: Seller
    amount: Money
    reason: Annotated[Text, Field(min_length=1)] = Field(description="Shown to the seller.")

    @model_validator(mode="after")
    def _not_zero(self) -> "AdjustSellerBalance":
        if self.amount.amount == 0:
            raise ValueError("amount must not be 0")
        return self


class SellerBalance(Question[SellerBalances], service=SERVICE):
    """Get a seller's balances; empty if nothing was earned yet."""

    customer: Seller


class ListSellerEntries(Page, Question[SellerEntryPage], service=SERVICE):
    """List a seller's ledger entries, newest first."""

    customer: Seller
    currency: Currency | None = None
    kind: EntryKind | None = None


class SellerBalanceEvent(Event, service=SERVICE, entity="seller_balance", names=("changed",)):
    """A seller's balance changed, by these entries or because held money was released."""

    seller_balance: SellerBalanceSnapshot
    entries: list[SellerEntrySnapshot]
