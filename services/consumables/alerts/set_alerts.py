"""Setting and showing usage alerts."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.consumables.domain.usage_alerts import reach
from services.consumables.ledger.grant_totals import grant_totals
from services.consumables.ledger.rejections import no_account, unknown_feature
from services.consumables.ledger.repository import Account, open_balances
from services.consumables.service import service
from services.consumables.tables.ledger import AccountRow, BalanceRow, UsageAlertsRow
from services.consumables.tables.projections import KnownFeatureRow
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import consumables as m


@service.command(m.SetUsageAlerts)
async def set_usage_alerts(work: UnitOfWork, command: m.SetUsageAlerts) -> m.UsageAlerts:
    """Set the alerts of an account and feature; raises Rejected `no_account` or `unknown_feature`."""
    holder = await work.session.get(AccountRow, command.account)
    if holder is None:
        raise no_account(command.account)
    feature = await work.session.get(KnownFeatureRow, command.feature)
    if feature is None or feature.kind == "flag":
        raise unknown_feature(command.feature)
    account = Account(command.account, command.feature, feature.kind, holder.customer)
    batch = await open_balances(work, [account])
    balance = batch.balances[command.account, command.feature]
    percents = sorted(set(command.percents))
    totals = await grant_totals(work, [balance])
    total = totals[command.account, command.feature]
    now = reach(percents, [], total, balance.remaining, is_armed=True)
    await _write(work, command, percents, now.reached, now.level if percents else None)
    return m.UsageAlerts(usage_alerts=_snapshot(command.account, command.feature, percents, now.reached))


@service.question(m.GetUsageAlerts)
async def get_usage_alerts(work: UnitOfWork, question: m.GetUsageAlerts) -> m.UsageAlerts:
    """Return the alerts of an account and feature; raises Rejected `no_account`."""
    if await work.session.get(AccountRow, question.account) is None:
        raise no_account(question.account)
    row = await work.session.get(UsageAlertsRow, (question.account, question.feature))
    percents, reached = (row.percents, row.reached) if row is not None else ([], [])
    return m.UsageAlerts(usage_alerts=_snapshot(question.account, question.feature, percents, reached))


async def _write(
    work: UnitOfWork, command: m.SetUsageAlerts, percents: list[int], reached: list[int], level: int | None
) -> None:
    key = {"account": command.account, "feature": command.feature}
    values = {"percents": percents, "reached": reached}
    await work.session.execute(
        insert(UsageAlertsRow)
        .values(**key, **values)
        .on_conflict_do_update(index_elements=["account", "feature"], set_=values)
        if percents
        else sa.delete(UsageAlertsRow).filter_by(**key)
    )
    await work.session.execute(sa.update(BalanceRow).filter_by(**key).values(alert_at=level))


def _snapshot(account: str, feature: str, percents: list[int], reached: list[int]) -> m.UsageAlertsSnapshot:
    return m.UsageAlertsSnapshot(account=account, feature=feature, percents=percents, reached=reached)
