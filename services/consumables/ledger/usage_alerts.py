"""Checking of usage alerts in the commit that changes a balance.

A balance with alerts has the level at which the next one is reached, so that consumption only compares two
numbers; the alerts are read when that level is reached or units were granted.
"""

from collections.abc import Sequence
from typing import Any

import orjson

from services.consumables.domain.balance import Balance
from services.consumables.domain.usage_alerts import reach
from services.consumables.ledger.grant_totals import grant_totals
from shared.persistence.unit_of_work import UnitOfWork

SELECT = """
    SELECT account, feature, percents, reached FROM consumables.usage_alerts
    JOIN jsonb_to_recordset(%s::jsonb) AS key (account text, feature text) USING (account, feature)
"""
UPDATE = """
    UPDATE consumables.usage_alerts SET reached = %s::bigint[]
    WHERE account = %s AND feature = %s AND reached <> %s::bigint[]
"""


async def check_alerts(work: UnitOfWork, balances: Sequence[Balance]) -> None:
    """Note which alerts the changed balances have reached, and set the level of the next one."""
    due = [balance for balance in balances if _is_due(balance)]
    if not due:
        return
    keys = [{"account": balance.account, "feature": balance.feature} for balance in due]
    rows = await (await work.driver.execute(SELECT, (orjson.dumps(keys).decode(),))).fetchall()
    alerts = {(row[0], row[1]): (row[2], row[3]) for row in rows}
    totals = await grant_totals(work, due)
    for balance in due:
        key = (balance.account, balance.feature)
        percents, before = alerts.get(key, ([], []))
        now = reach(percents, before, totals[key], balance.remaining, is_armed=_has_new_grant(balance))
        balance.crossed, balance.alert_at = now.crossed, now.level
        values: tuple[Any, ...] = (now.reached, *key, now.reached)
        await work.driver.execute(UPDATE, values)


def _is_due(balance: Balance) -> bool:
    if balance.alert_at is None:
        return False
    return balance.remaining <= balance.alert_at or _has_new_grant(balance)


def _has_new_grant(balance: Balance) -> bool:
    return any(grant.new is not None and not grant.is_overage for grant in balance.grants)
