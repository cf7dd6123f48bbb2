"""Rejections of requests that reach no balance at all, whose reason is looked up only then."""

from collections.abc import Iterable

import orjson

from services.consumables.ledger.repository import DrawRequest, LedgerBatch
from shared.errors import Rejected
from shared.persistence.unit_of_work import UnitOfWork

SELECT_REASONS = """
    SELECT wish.consumer, wish.feature, wish.account,
           EXISTS (SELECT FROM consumables.known_features
                   WHERE code = wish.feature AND kind IN ('limit', 'consumable')),
           EXISTS (SELECT FROM consumables.accounts WHERE account = 'customer:' || consumer
                   AND (wish.account IS NULL OR wish.account = accounts.account))
           OR EXISTS (SELECT FROM consumables.access WHERE access.consumer = wish.consumer
                      AND (wish.account IS NULL OR wish.account = access.account))
    FROM jsonb_to_recordset(%s::jsonb) AS wish (consumer text, feature text, account text)
"""


async def explain_unreached(
    work: UnitOfWork, batch: LedgerBatch, requests: Iterable[DrawRequest]
) -> dict[DrawRequest, Rejected]:
    """Return the rejection of each request that reaches no balance.

    The code is `unknown_feature`, `no_account` or `insufficient_balance`.
    """
    unreached = [request for request in dict.fromkeys(requests) if request not in batch.reach]
    if not unreached:
        return {}
    parameter = orjson.dumps([request._asdict() for request in unreached]).decode()
    cursor = await work.driver.execute(SELECT_REASONS, (parameter,))
    return {
        DrawRequest(*row[:3]): _rejection(DrawRequest(*row[:3]), is_known=row[3], has_account=row[4])
        for row in await cursor.fetchall()
    }


def _rejection(request: DrawRequest, *, is_known: bool, has_account: bool) -> Rejected:
    if not is_known:
        return unknown_feature(request.feature)
    if not has_account:
        return no_account(request.account or f"customer:{request.consumer}")
    return Rejected("insufficient_balance", "Nothing was granted to draw on.", {"available": 0})


def unknown_feature(feature: str) -> Rejected:
    """Return the rejection of a feature that is not in the catalog or has no units."""
    return Rejected(
        "unknown_feature", f"The catalog has no limit or consumable {feature!r}.", {"feature": feature}
    )


def no_account(account: str) -> Rejected:
    """Return the rejection of an account that does not exist or that the consumer may not draw on."""
    return Rejected(
        "no_account", "There is no such account that this consumer may draw on.", {"account": account}
    )
