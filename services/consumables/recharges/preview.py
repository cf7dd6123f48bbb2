"""The preview of an auto-recharge: what setting it would buy right now."""

from dataclasses import dataclass

import sqlalchemy as sa

from services.consumables.domain.auto_recharge import Purchase, Rule, Skip, decide
from services.consumables.policy import policy
from services.consumables.recharges.repository import (
    HAS_ENDED,
    HAS_LOST_ITS_PLAN,
    IS_BETWEEN_CYCLES,
    Price,
    automatic_recharges_within_an_hour,
    automatic_spend,
    payer_of,
    price_of,
)
from services.consumables.service import service
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import consumables as m
from tallystick.messages.base import Money
from tallystick.messages.subscriptions.charges import CHARGE_MAX

SELECT_BALANCE = sa.text(f"""
    SELECT coalesce(balance.remaining, 0) AS remaining, coalesce(balance.unlimited, 0) > 0 AS is_unlimited,
           holder.suspended OR coalesce(holder.suspends_at <= :now, false) AS is_suspended,
           EXISTS (
               SELECT FROM consumables.recharges AS running
               WHERE running.account = holder.account AND running.feature = :feature
                 AND running.status = 'pending') AS is_buying,
           {HAS_ENDED.format(account=":account")}
           OR {IS_BETWEEN_CYCLES.format(account=":account", feature=":feature", now=":now")}
           OR {HAS_LOST_ITS_PLAN.format(account=":account", feature=":feature")} AS buys_nothing
    FROM consumables.accounts AS holder
    LEFT JOIN consumables.balances AS balance
           ON balance.account = holder.account AND balance.feature = :feature
    WHERE holder.account = :account
""")  # noqa: S608 - our own names


@dataclass(frozen=True, slots=True)
class _Nothing:
    reason: m.NothingBought


@service.question(m.PreviewAutoRecharge)
async def preview_auto_recharge(work: UnitOfWork, question: m.PreviewAutoRecharge) -> m.AutoRechargePreview:
    """Preview what an auto-recharge would buy right now.

    Raises Rejected `no_account`, `unknown_feature` and `recharge_price_missing`.
    """
    await payer_of(work, question.account)
    price = await price_of(work, question.feature)
    decision = await _decide(work, question, price)
    bought = decision if isinstance(decision, Purchase) else Purchase(0, 0)
    return m.AutoRechargePreview(
        quantity=bought.quantity,
        due_now=Money(amount=bought.amount, currency=price.currency),
        unit_price=Money(amount=price.amount, currency=price.currency),
        reason=None if isinstance(decision, Purchase) else decision.reason,
    )


async def _decide(
    work: UnitOfWork, question: m.PreviewAutoRecharge, price: Price
) -> Purchase | Skip | _Nothing:
    account, feature = question.account, question.feature
    known = {"account": account, "feature": feature, "now": work.now}
    balance = (await work.session.execute(SELECT_BALANCE, known)).one()
    if not question.enabled:
        return _Nothing("disabled")
    if balance.is_buying:
        return _Nothing("recharge_in_flight")
    if balance.buys_nothing or balance.remaining >= question.threshold:
        return _Nothing("enough_left")
    _, spent = await automatic_spend(work, account, feature)
    recent = await automatic_recharges_within_an_hour(work, account, feature)
    cap = question.max_spend_per_period
    return decide(
        Rule(
            question.threshold,
            question.recharge_quantity,
            price.amount,
            cap.amount if cap is not None else None,
            CHARGE_MAX,
        ),
        remaining=balance.remaining,
        spent=spent,
        is_unlimited=balance.is_unlimited,
        is_suspended=balance.is_suspended or recent >= policy.recharges_per_hour,
    )
