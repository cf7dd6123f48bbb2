"""Automatic and manual recharges up to the request of their charge, which `payment.py` carries out."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.consumables.domain.auto_recharge import Purchase, Rule, Skip, decide
from services.consumables.ledger.repository import Account, open_balances
from services.consumables.policy import policy
from services.consumables.recharges.repository import (
    HAS_ENDED,
    HAS_LOST_ITS_PLAN,
    IS_BETWEEN_CYCLES,
    Price,
    automatic_recharges_within_an_hour,
    automatic_spend,
    emit_recharge,
    payer_of,
    price_of,
    recharge_snapshot,
    reject_ended_account,
    rule_snapshot,
)
from services.consumables.service import service
from services.consumables.tables.ledger import AutoRechargeRow, BalanceRow, RechargeRow
from shared.errors import Rejected, invalid_message
from shared.ids import new_id
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import consumables as m
from tallystick.messages.base import Customer, Money
from tallystick.messages.subscriptions.charges import CHARGE_MAX

SELECT_LOW = f"""
    SELECT rule.account, rule.feature, balance.unlimited > 0 AS is_unlimited,
           rule.suspended OR holder.suspended
               OR coalesce(holder.suspends_at <= %(now)s, false) AS is_suspended,
           balance.remaining
    FROM unnest(%(accounts)s::text[], %(features)s::text[]) AS low (account, feature)
    JOIN consumables.auto_recharges AS rule USING (account, feature)
    JOIN consumables.balances AS balance USING (account, feature)
    JOIN consumables.accounts AS holder USING (account)
    WHERE rule.enabled AND balance.remaining < rule.threshold
      -- Auto-recharges whose skip has been emitted are not considered again.
      AND NOT (rule.suspended AND rule.skip_told IS NOT DISTINCT FROM 'suspended')
      AND NOT (balance.unlimited > 0 AND rule.skip_told IS NOT DISTINCT FROM 'unlimited')
      AND NOT EXISTS (
          SELECT FROM consumables.recharges AS running
          WHERE running.account = rule.account AND running.feature = rule.feature
            AND running.status = 'pending')
      AND NOT {HAS_ENDED.format(account="rule.account")}
      AND NOT {IS_BETWEEN_CYCLES.format(account="rule.account", feature="rule.feature", now="%(now)s")}
      AND NOT {HAS_LOST_ITS_PLAN.format(account="rule.account", feature="rule.feature")}
"""  # noqa: S608 - our own names


async def recharge_low_balances(work: UnitOfWork, low: Sequence[tuple[str, str]]) -> int:
    """Apply the auto-recharges of balances below their threshold, in the transaction that found them so.

    Returns the amount of what is bought, in minor units.

    `low`: accounts and features; their balances must be locked and written. While a recharge is pending this
    costs one query.
    """
    accounts, features = [account for account, _ in low], [feature for _, feature in low]
    values = {"now": work.now, "accounts": accounts, "features": features}
    cursor = await work.driver.execute(SELECT_LOW, values)
    amount = 0
    for account, feature, is_unlimited, is_suspended, remaining in await cursor.fetchall():
        amount += await _apply_rule(
            work,
            account,
            feature,
            remaining=remaining,
            is_unlimited=is_unlimited,
            is_suspended=is_suspended,
        )
    return amount


@service.command(m.SetAutoRecharge)
async def set_auto_recharge(work: UnitOfWork, command: m.SetAutoRecharge) -> m.AutoRecharge:
    """Set or disable an account's auto-recharge, and reset its failures.

    Raises Rejected `no_account`, `unknown_feature`, `recharge_price_missing`, `amount_changed` or
    `invalid_message`.
    """
    payer, price = await payer_of(work, command.account), await price_of(work, command.feature)
    cap = command.max_spend_per_period
    if cap is not None and cap.currency != price.currency:
        problem = f"must be in {price.currency}, as the feature's unit_price is"
        raise invalid_message([{"field": "max_spend_per_period.currency", "problem": problem}])
    _require_chargeable(price, command.recharge_quantity, "recharge_quantity")
    await _lock_balance(work, command.account, command.feature, payer)
    row = await work.session.get(AutoRechargeRow, (command.account, command.feature), with_for_update=True)
    if row is None:
        row = AutoRechargeRow(account=command.account, feature=command.feature, version=0)
        work.session.add(row)
    row.version += 1
    row.enabled, row.threshold = command.enabled, command.threshold
    row.recharge_quantity, row.currency = command.recharge_quantity, price.currency
    row.max_spend_amount = cap.amount if cap else None
    row.failures, row.suspended, row.skip_told = 0, False, None
    await work.session.execute(
        sa.update(BalanceRow)
        .where(BalanceRow.account == command.account, BalanceRow.feature == command.feature)
        .values(threshold=command.threshold if command.enabled else None)
    )
    await work.flush()
    # The balance may be below the threshold already, and no later consumption may find it so.
    amount = await recharge_low_balances(work, [(command.account, command.feature)])
    _require_agreed(command.due_now, Money(amount=amount, currency=price.currency))
    return await rule_snapshot(work, row)


@service.command(m.Recharge)
async def recharge(work: UnitOfWork, command: m.Recharge) -> m.RechargeFound:
    """Request the purchase of units, which are granted once they are paid.

    Raises Rejected `no_account`, `unknown_feature`, `recharge_price_missing`, `recharge_in_flight` or
    `invalid_message`.
    """
    payer, price = await payer_of(work, command.account), await price_of(work, command.feature)
    _require_chargeable(price, command.quantity, "quantity")
    await reject_ended_account(work, command.account)
    await _lock_balance(work, command.account, command.feature, payer)
    purchase = Purchase(command.quantity, command.quantity * price.amount)
    row = await _insert_pending(
        work, command.account, command.feature, purchase, price.currency, automatic=False
    )
    if row is None:
        raise Rejected(
            "recharge_in_flight",
            "Units are being bought for this account and feature already; wait until that is paid or failed.",
            {"account": command.account, "feature": command.feature},
        )
    _request_charge(work, row, payer)
    return m.RechargeFound(recharge=recharge_snapshot(row))


async def _apply_rule(
    work: UnitOfWork,
    account: str,
    feature: str,
    *,
    remaining: int,
    is_unlimited: bool,
    is_suspended: bool,
) -> int:
    """Buy units for one auto-recharge and return the amount, or emit once that it is skipped."""
    rule = await work.session.get_one(AutoRechargeRow, (account, feature), with_for_update=True)
    try:
        price = await price_of(work, feature)
    except Rejected:
        # The catalog no longer sells the feature; the remaining units may still be used.
        return 0
    if price.currency != rule.currency:
        return 0
    since, spent = await automatic_spend(work, account, feature)
    if not (is_unlimited or is_suspended):
        is_suspended = await _suspend_above_rate(work, rule)
    decision = decide(
        Rule(rule.threshold, rule.recharge_quantity, price.amount, rule.max_spend_amount, CHARGE_MAX),
        remaining=remaining,
        spent=spent,
        is_unlimited=is_unlimited,
        is_suspended=is_suspended,
    )
    payer = await payer_of(work, account)
    if isinstance(decision, Skip):
        _emit_skipped_once(work, rule, decision, since, payer)
        return 0
    if rule.skip_told in ("unlimited", "suspended"):
        rule.skip_told = None
    row = await _insert_pending(work, account, feature, decision, price.currency, automatic=True)
    if row is None:
        return 0
    _request_charge(work, row, payer)
    return row.amount


async def _suspend_above_rate(work: UnitOfWork, rule: AutoRechargeRow) -> bool:
    """Suspend a rule that has bought as often within an hour as it may; return whether it did."""
    bought = await automatic_recharges_within_an_hour(work, rule.account, rule.feature)
    if bought < policy.recharges_per_hour:
        return False
    rule.suspended = True
    rule.version += 1
    return True


def _emit_skipped_once(
    work: UnitOfWork, rule: AutoRechargeRow, decision: Skip, since: datetime, payer: Customer
) -> None:
    """Emit a reached spend cap once per period, other reasons once until units are bought again."""
    is_cap = decision.reason == "spend_cap_reached"
    emitted_reason = f"{decision.reason} {since.isoformat()}" if is_cap else decision.reason
    if rule.skip_told != emitted_reason:
        rule.skip_told = emitted_reason
        _emit_skipped(work, rule, decision, payer)


async def _insert_pending(
    work: UnitOfWork, account: str, feature: str, purchase: Purchase, currency: str, *, automatic: bool
) -> RechargeRow | None:
    """Insert a pending recharge; return None if another one is pending."""
    statement = (
        insert(RechargeRow)
        .values(
            recharge_id=new_id("recharge"),
            version=1,
            account=account,
            feature=feature,
            quantity=purchase.quantity,
            amount=purchase.amount,
            currency=currency,
            status="pending",
            automatic=automatic,
            created_at=work.now,
        )
        .on_conflict_do_nothing()
        .returning(RechargeRow)
    )
    found: RechargeRow | None = await work.session.scalar(statement)
    return found


def _request_charge(work: UnitOfWork, row: RechargeRow, payer: Customer) -> None:
    emit_recharge(work, row, "requested", payer)
    work.send(m.ChargeRecharge(command_id=row.recharge_id, recharge_id=row.recharge_id))


def _emit_skipped(work: UnitOfWork, rule: AutoRechargeRow, skip: Skip, payer: Customer) -> None:
    row = RechargeRow(
        recharge_id=new_id("recharge"),
        version=1,
        account=rule.account,
        feature=rule.feature,
        quantity=0,
        amount=0,
        currency=rule.currency,
        status="skipped",
        reason=skip.reason,
        automatic=True,
        created_at=work.now,
    )
    work.session.add(row)
    emit_recharge(work, row, "skipped", payer)


async def _lock_balance(work: UnitOfWork, account: str, feature: str, payer: Customer) -> None:
    """Lock the balance, so that changes of its recharges are serialized with consumption."""
    await open_balances(work, [Account(account, feature, "consumable", payer.token)])


def _require_agreed(agreed: Money | None, due: Money) -> None:
    if agreed is not None and agreed != due:
        raise Rejected(
            "amount_changed",
            "Another amount would be charged right now than the one that was agreed to. Nothing was set.",
            {"due_now": due.model_dump()},
        )


def _require_chargeable(price: Price, quantity: int, field: str) -> None:
    if quantity * price.amount > CHARGE_MAX:
        problem = f"costs more than one payment can be ({CHARGE_MAX} {price.currency} in minor units)"
        raise invalid_message([{"field": field, "problem": problem}])
