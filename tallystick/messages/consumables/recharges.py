"""Buying more units: by hand, or by itself when they run low."""

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
    Told,
)
from tallystick.messages.consumables.types import SERVICE, Account, Units


class AutoRechargeSnapshot(Told):
    """How an account buys more of a feature by itself."""

    account: Account
    feature: Code
    version: PositiveCount
    enabled: bool
    threshold: Count = Field(description="Less than this remaining buys more.")
    recharge_quantity: Units
    max_spend_per_period: Money | None = Field(description="Null: no bound.")
    spent: Money = Field(description="Paid and in flight, in the billing period that runs.")
    failures: Count = Field(description="In a row; after three it is suspended.")
    suspended: bool = Field(description="Until it is set again.")


class AutoRecharge(Told):
    """The rule, as set or as asked for."""

    auto_recharge: AutoRechargeSnapshot


class RechargeSnapshot(Told):
    """Units being bought."""

    recharge_id: EntityId
    version: PositiveCount
    account: Account
    feature: Code
    quantity: Count = Field(description="0 when it was skipped.")
    amount: Money
    status: Literal["pending", "paid", "failed", "skipped"]
    reason: str | None = Field(
        default=None,
        description="Why it was skipped (`spend_cap_reached`, `unlimited`, `suspended`) or failed.",
    )
    automatic: bool = Field(description="Bought by itself, not by hand.")
    invoice_id: str | None = Field(description="Known once the customer was charged.")
    created_at: Instant


class RechargeFound(Told):
    """A recharge as it stands; units come once it is paid."""

    recharge: RechargeSnapshot


class RechargePage(Told):
    """A page of recharges, newest first."""

    items: list[RechargeSnapshot]
    next_cursor: str | None = None


class SetAutoRecharge(
    Command[AutoRecharge],
    service=SERVICE,
    rejections=("recharge_price_missing", "no_account", "unknown_feature"),
):
    """Have more units bought whenever less than `threshold` remain, at once where that is so already.

    Setting it again ends a suspension.
    """

    account: Account
    feature: Code
    enabled: bool
    threshold: Count
    recharge_quantity: Units
    max_spend_per_period: Money | None = None


class Recharge(
    Command[RechargeFound],
    service=SERVICE,
    rejections=("recharge_price_missing", "recharge_in_flight", "no_account", "unknown_feature"),
):
    """Buy units now. The paying customer is charged; the units come once the invoice is paid."""

    account: Account
    feature: Code
    quantity: Units


class ChargeRecharge(Command[RechargeFound], service=SERVICE):
    """Have the paying customer charged for a recharge that was asked for. For Tallystick's own services."""

    recharge_id: EntityId


class GetAutoRecharge(Question[AutoRecharge], service=SERVICE, rejections=("not_found",)):
    """The rule for an account and feature."""

    account: Account
    feature: Code


class ListRecharges(Page, Question[RechargePage], service=SERVICE):
    """An account's recharges, newest first."""

    account: Account


class RechargeEvent(
    Event, service=SERVICE, entity="recharge", names=("requested", "paid", "failed", "skipped")
):
    """A recharge was asked for, paid, failed, or not made, with the reason."""

    recharge: RechargeSnapshot
