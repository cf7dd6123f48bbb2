"""Reading of recharges, auto-recharges and prices, with their snapshots and events."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from services.consumables.domain.auto_recharge import period_begin
from services.consumables.tables.ledger import AccountRow, AutoRechargeRow, RechargeRow
from services.consumables.tables.projections import KnownFeatureRow
from shared.errors import Rejected
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import consumables as m
from tallystick.messages.base import Customer, Money

SELECT_PERIOD = sa.text("""
    SELECT period_start, period_end FROM consumables.known_subscriptions
    WHERE CASE split_part(:account, ':', 1)
        WHEN 'team' THEN subscription_id = (
            SELECT subscription_id FROM consumables.known_teams WHERE team_id = substr(:account, 6))
        WHEN 'seat' THEN subscription_id = (
            SELECT subscription_id FROM consumables.known_seats WHERE seat_id = substr(:account, 6))
        ELSE customer = substr(:account, 10) AND status <> 'override' END
    ORDER BY ended_at IS NOT NULL, period_end DESC NULLS LAST, subscription_id DESC LIMIT 1
""")
"""The billing period of the account's subscription; for a customer's own account, of the newest one."""

HAS_ENDED = """(
    EXISTS (SELECT FROM consumables.known_seats WHERE seat_id = substr({account}, 6) AND status = 'revoked')
    OR EXISTS (SELECT FROM consumables.known_teams WHERE team_id = substr({account}, 6) AND closed)
)"""
"""Whether an account has ended for good: its seat was revoked or its team closed."""
IS_BETWEEN_CYCLES = """EXISTS (
    SELECT FROM consumables.allotments JOIN consumables.known_subscriptions AS known USING (subscription_id)
    WHERE allotments.account = {account} AND allotments.feature = {feature} AND NOT closed
      AND known.grants AND known.ended_at IS NULL AND (next_at <= {now} OR ends_at <= {now})
)"""
"""Whether units of a new cycle are due that are not granted yet, such as before a renewal is known, or a plan
is over that is not known to have ended."""
HAS_LOST_ITS_PLAN = """(
    SELECT coalesce(bool_and(closed), false) FROM consumables.allotments
    WHERE allotments.account = {account} AND allotments.feature = {feature}
)"""
"""Whether plans that gave the feature have all ended. Accounts that never had one live on what they buy."""
SELECT_HAS_ENDED = sa.text(f"SELECT {HAS_ENDED.format(account=':account')}")


@dataclass(frozen=True, slots=True)
class Price:
    """The price of one unit of a feature."""

    name: str
    """The feature's display name."""
    amount: int
    """In the currency's minor unit."""
    currency: str


async def payer_of(work: UnitOfWork, account: str) -> Customer:
    """Return the customer who pays for an account; raises Rejected `no_account`."""
    token = await work.session.scalar(sa.select(AccountRow.customer).where(AccountRow.account == account))
    if token is None:
        raise Rejected("no_account", "Nobody has given this account anything yet.", {"account": account})
    return Customer.from_token(token)


async def reject_ended_account(work: UnitOfWork, account: str) -> None:
    """Raise Rejected `no_account` if the account has ended and nobody could use the units."""
    if await work.session.scalar(SELECT_HAS_ENDED, {"account": account}):
        raise Rejected("no_account", "Nobody draws on this account any more.", {"account": account})


async def price_of(work: UnitOfWork, feature: str) -> Price:
    """Return the price of a unit; raises Rejected `unknown_feature` or `recharge_price_missing`."""
    known = await work.session.get(KnownFeatureRow, feature)
    if known is None:
        raise Rejected("unknown_feature", "The catalog has no such feature.", {"feature": feature})
    if known.unit_amount is None or known.currency is None or known.archived:
        raise Rejected(
            "recharge_price_missing",
            "The catalog names no `unit_price` for this feature, so nothing can be charged for it.",
            {"feature": feature},
        )
    return Price(known.name, known.unit_amount, known.currency)


async def automatic_spend(work: UnitOfWork, account: str, feature: str) -> tuple[datetime, int]:
    """Return the start of the billing period, and the amount of its automatic recharges, paid or pending.

    What was refunded does not count.
    """
    row = (await work.session.execute(SELECT_PERIOD, {"account": account})).one_or_none()
    since = period_begin(row.period_start if row else None, row.period_end if row else None, work.now)
    spent = await work.session.scalar(
        sa.select(sa.func.coalesce(sa.func.sum(RechargeRow.amount - RechargeRow.amount_refunded), 0)).where(
            RechargeRow.account == account,
            RechargeRow.feature == feature,
            RechargeRow.automatic,
            RechargeRow.status.in_(("pending", "paid")),
            RechargeRow.created_at >= since,
        )
    )
    return since, int(spent or 0)


async def automatic_recharges_within_an_hour(work: UnitOfWork, account: str, feature: str) -> int:
    """Count the automatic recharges of the last hour, whatever became of their charges."""
    return int(
        await work.session.scalar(
            sa.select(sa.func.count()).where(
                RechargeRow.account == account,
                RechargeRow.feature == feature,
                RechargeRow.automatic,
                RechargeRow.status != "skipped",
                RechargeRow.created_at > work.now - timedelta(hours=1),
            )
        )
        or 0
    )


async def rule_snapshot(work: UnitOfWork, row: AutoRechargeRow) -> m.AutoRecharge:
    """Return the snapshot of an auto-recharge, with the amount spent in the billing period."""
    _, spent = await automatic_spend(work, row.account, row.feature)
    cap = row.max_spend_amount
    return m.AutoRecharge(
        auto_recharge=m.AutoRechargeSnapshot(
            account=row.account,
            feature=row.feature,
            version=row.version,
            enabled=row.enabled,
            threshold=row.threshold,
            recharge_quantity=row.recharge_quantity,
            max_spend_per_period=None if cap is None else Money(amount=cap, currency=row.currency),
            spent=Money(amount=spent, currency=row.currency),
            failures=row.failures,
            suspended=row.suspended,
        )
    )


def recharge_snapshot(row: RechargeRow) -> m.RechargeSnapshot:
    """Return the snapshot of a recharge."""
    return m.RechargeSnapshot(
        recharge_id=row.recharge_id,
        version=row.version,
        account=row.account,
        feature=row.feature,
        quantity=row.quantity,
        amount=Money(amount=row.amount, currency=row.currency),
        status=row.status,  # type: ignore[arg-type]
        reason=row.reason,
        automatic=row.automatic,
        invoice_id=row.invoice_id,
        created_at=row.created_at,
        amount_refunded=row.amount_refunded or 0,
        units_taken_back=row.units_taken_back or 0,
        units_used=row.units_used or 0,
    )


def emit_recharge(work: UnitOfWork, row: RechargeRow, name: str, payer: Customer) -> None:
    """Emit an event of a recharge."""
    snapshot = recharge_snapshot(row)
    work.emit(m.RechargeEvent, name, customer=payer, version=row.version, recharge=snapshot)
