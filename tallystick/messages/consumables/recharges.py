"""Recharges: buying more units manually, or automatically when a balance is low."""

from typing import Literal

from pydantic import Field

from tallystick.messages.base import (
    Code,
    Command,
    Count,
    EntityId,
    Event,
    Instant,
    Money,
    Page,
    PositiveCount,
    Question,
    TolerantModel,
)
from tallystick.messages.consumables.types import SERVICE, Account, Units


class AutoRechargeSnapshot(TolerantModel):
    """Auto-recharge settings of an account for a feature."""

    account: Account
    feature: Code
    version: PositiveCount
    enabled: bool
    threshold: Count = Field(description="A recharge is made when fewer units than this remain.")
    recharge_quantity: Units
    max_spend_per_period: Money | None = Field(description="Spending cap; null: none.")
    spent: Money = Field(description="Paid and pending recharges in the current billing period.")
    failures: Count = Field(description="Consecutive failures; after three, the auto-recharge is suspended.")
    suspended: bool = Field(description="Suspended until it is set again.")


class AutoRecharge(TolerantModel):
    """Auto-recharge settings after the command, or as queried."""

    auto_recharge: AutoRechargeSnapshot


class RechargeSnapshot(TolerantModel):
    """Snapshot of a recharge."""

    recharge_id: EntityId
    version: PositiveCount
    account: Account
    feature: Code
    quantity: Count = Field(description="Units bought; 0 when skipped.")
    amount: Money
    status: Literal["pending", "paid", "failed", "skipped"]
    reason: str | None = Field(
        default=None,
        description="Reason why it was skipped (`spend_cap_reached`, `unlimited`, `suspended`) or failed.",
    )
    automatic: bool = Field(description="Made by the auto-recharge, not manually.")
    invoice_id: str | None = Field(description="Set once the customer was charged.")
    created_at: Instant
    amount_refunded: Count = Field(
        default=0, description="What of the amount was refunded or lost in a dispute, in its minor unit."
    )
    units_taken_back: Count = Field(default=0, description="Units that the refund took back.")
    units_used: Count = Field(
        default=0, description="Units of what was refunded that were used before; they stay used."
    )


class RechargeFound(TolerantModel):
    """A recharge; its units are granted once it is paid."""

    recharge: RechargeSnapshot


class RechargePage(TolerantModel):
    """Page of recharges, newest first."""

    items: list[RechargeSnapshot]
    next_cursor: str | None = None


class SetAutoRecharge(
    Command[AutoRecharge],
    service=SERVICE,
    rejections=("recharge_price_missing", "no_account", "unknown_feature", "amount_changed"),
):
    """Set the auto-recharge: units are bought when fewer than `threshold` remain, even right now.

    Setting it again ends a suspension. `amount_changed`: another amount than `due_now` would be charged right
    now; nothing is set.
    """

    account: Account
    feature: Code
    enabled: bool
    threshold: Count
    recharge_quantity: Units
    max_spend_per_period: Money | None = None
    due_now: Money | None = Field(
        default=None,
        description="Amount of the preview that was agreed to, without tax; absent: not checked.",
    )


NothingBought = Literal[
    "disabled", "enough_left", "recharge_in_flight", "spend_cap_reached", "unlimited", "suspended"
]
"""Reasons why an auto-recharge buys nothing right now."""


class AutoRechargePreview(TolerantModel):
    """What an auto-recharge buys as soon as it is set. Nothing has been changed."""

    quantity: Count = Field(description="Units bought right now; 0: none.")
    due_now: Money = Field(description="Amount charged for them right now, without tax that is added to it.")
    unit_price: Money
    reason: NothingBought | None = Field(description="Reason why nothing is bought; null: something is.")


class PreviewAutoRecharge(
    Question[AutoRechargePreview],
    service=SERVICE,
    rejections=("recharge_price_missing", "no_account", "unknown_feature"),
):
    """Preview what an auto-recharge would buy and charge as soon as it is set."""

    account: Account
    feature: Code
    enabled: bool = True
    threshold: Count
    recharge_quantity: Units
    max_spend_per_period: Money | None = None


class Recharge(
    Command[RechargeFound],
    service=SERVICE,
    rejections=("recharge_price_missing", "recharge_in_flight", "no_account", "unknown_feature"),
):
    """Buy units now. The paying customer is charged; the units are granted once the invoice is paid."""

    account: Account
    feature: Code
    quantity: Units


class ChargeRecharge(Command[RechargeFound], service=SERVICE):
    """Charge the paying customer for a requested recharge. For Tallystick's own services."""

    recharge_id: EntityId


class GetAutoRecharge(Question[AutoRecharge], service=SERVICE, rejections=("not_found",)):
    """Get the auto-recharge settings of an account for a feature."""

    account: Account
    feature: Code


class ListRecharges(Page, Question[RechargePage], service=SERVICE):
    """List the recharges of an account, newest first."""

    account: Account


class RechargeEvent(
    Event, service=SERVICE, entity="recharge", names=("requested", "paid", "failed", "skipped", "refunded")
):
    """A recharge was requested, paid, failed, or skipped, with the reason; or its money was given back."""

    recharge: RechargeSnapshot
