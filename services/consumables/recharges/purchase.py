"""Buying units when they run low, or when somebody says so: what is decided before anybody is charged."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.consumables.domain.auto_recharge import Purchase, Rule, Skip, decide
from services.consumables.ledger.repository import Account, open_balances
from services.consumables.recharges.repository import (
    HAS_ENDED,
    Price,
    emit_recharge,
    payer_of,
    price_of,
    recharge_snapshot,
    refuse_ended,
    rule_snapshot,
    spent_by_itself,
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
           rule.suspended OR holder.suspended AS is_suspended
    FROM unnest(%s::text[], %s::text[]) AS low (account, feature)
    JOIN consumables.auto_recharges AS rule USING (account, feature)
    JOIN consumables.balances AS balance USING (account, feature)
    JOIN consumables.accounts AS holder USING (account)
    WHERE rule.enabled AND balance.remaining < rule.threshold
      -- What was told already is not looked into again and again.
      AND NOT (rule.suspended AND rule.skip_told IS NOT DISTINCT FROM 'suspended')
      AND NOT (balance.unlimited > 0 AND rule.skip_told IS NOT DISTINCT FROM 'unlimited')
      AND NOT EXISTS (
          SELECT FROM consumables.recharges AS running
          WHERE running.account = rule.account AND running.feature = rule.feature
            AND running.status = 'pending')
      AND NOT {HAS_ENDED.format(account="rule.account")}
"""  # noqa: S608 - our own names


async def units_are_low(work: UnitOfWork, low: Sequence[tuple[str, str]]) -> None:
    """Buy more where the rules say so, in the transaction that found less than the threshold.

    `low`: account and feature; the balances are locked, and written as they are now. While a recharge is in
    flight this costs one query.
    """
    accounts, features = [one[0] for one in low], [one[1] for one in low]
    cursor = await work.driver.execute(SELECT_LOW, (accounts, features))
    for account, feature, is_unlimited, is_suspended in await cursor.fetchall():
        await _apply_rule(work, account, feature, is_unlimited=is_unlimited, is_suspended=is_suspended)


@service.command(m.SetAutoRecharge)
async def set_auto_recharge(work: UnitOfWork, command: m.SetAutoRecharge) -> m.AutoRecharge:
    """Have an account buy more by itself, or no more; what failed before is forgotten."""
    payer, price = await payer_of(work, command.account), await price_of(work, command.feature)
    most = command.max_spend_per_period
    if most is not None and most.currency != price.currency:
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
    row.max_spend_amount = most.amount if most else None
    row.failures, row.suspended, row.skip_told = 0, False, None
    await work.session.execute(
        sa.update(BalanceRow)
        .where(BalanceRow.account == command.account, BalanceRow.feature == command.feature)
        .values(threshold=command.threshold if command.enabled else None)
    )
    await work.flush()
    # Less than that may remain already, and nobody may come to use any more of it.
    await units_are_low(work, [(command.account, command.feature)])
    return await rule_snapshot(work, row)


@service.command(m.Recharge)
async def recharge(work: UnitOfWork, command: m.Recharge) -> m.RechargeFound:
    """Buy units because somebody says so; the units come once they are paid."""
    payer, price = await payer_of(work, command.account), await price_of(work, command.feature)
    _require_chargeable(price, command.quantity, "quantity")
    await refuse_ended(work, command.account)
    await _lock_balance(work, command.account, command.feature, payer)
    purchase = Purchase(command.quantity, command.quantity * price.amount)
    row = await _request(work, command.account, command.feature, purchase, price.currency, automatic=False)
    if row is None:
        raise Rejected(
            "recharge_in_flight",
            "Units are being bought for this account and feature already; wait until that is paid or failed.",
            {"account": command.account, "feature": command.feature},
        )
    _send(work, row, payer)
    return m.RechargeFound(recharge=recharge_snapshot(row))


async def _apply_rule(
    work: UnitOfWork, account: str, feature: str, *, is_unlimited: bool, is_suspended: bool
) -> None:
    rule = await work.session.get_one(AutoRechargeRow, (account, feature), with_for_update=True)
    try:
        price = await price_of(work, feature)
    except Rejected:
        # The catalog sells it no more; what is left may still be used.
        return
    if price.currency != rule.currency:
        return
    since, spent = await spent_by_itself(work, account, feature)
    decided = decide(
        Rule(rule.recharge_quantity, price.amount, rule.max_spend_amount, CHARGE_MAX),
        spent=spent,
        is_unlimited=is_unlimited,
        is_suspended=is_suspended,
    )
    payer = await payer_of(work, account)
    if isinstance(decided, Skip):
        # A cap is told of once a period, anything else once until units are bought again.
        is_cap = decided.reason == "spend_cap_reached"
        told = f"{decided.reason} {since.isoformat()}" if is_cap else decided.reason
        if rule.skip_told != told:
            rule.skip_told = told
            _emit_skipped(work, rule, decided, payer)
        return
    if rule.skip_told in ("unlimited", "suspended"):
        rule.skip_told = None
    row = await _request(work, account, feature, decided, price.currency, automatic=True)
    if row is not None:
        _send(work, row, payer)


async def _request(
    work: UnitOfWork, account: str, feature: str, purchase: Purchase, currency: str, *, automatic: bool
) -> RechargeRow | None:
    """A recharge that is to be charged; None while another one is in flight."""
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


def _send(work: UnitOfWork, row: RechargeRow, payer: Customer) -> None:
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
    """Whoever changes what a balance leads to takes the same turn as those who draw on it."""
    await open_balances(work, [Account(account, feature, "consumable", payer.token)])


def _require_chargeable(price: Price, quantity: int, field: str) -> None:
    if quantity * price.amount > CHARGE_MAX:
        most = Money(amount=CHARGE_MAX, currency=price.currency)
        problem = f"costs more than one payment can be ({most.amount} {most.currency} in minor units)"
        raise invalid_message([{"field": field, "problem": problem}])
