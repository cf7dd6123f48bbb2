"""Why somebody can reach no units at all: looked up only where that is so."""

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


async def refuse_unreached(
    work: UnitOfWork, batch: LedgerBatch, wanted: Iterable[DrawRequest]
) -> dict[DrawRequest, Rejected]:
    """Why each of those that reach no balance gets nothing."""
    unreached = [one for one in dict.fromkeys(wanted) if one not in batch.reach]
    if not unreached:
        return {}
    parameter = orjson.dumps([one._asdict() for one in unreached]).decode()
    cursor = await work.driver.execute(SELECT_REASONS, (parameter,))
    return {
        DrawRequest(*row[:3]): _refusal(DrawRequest(*row[:3]), is_known=row[3], has_account=row[4])
        for row in await cursor.fetchall()
    }


def _refusal(wanted: DrawRequest, *, is_known: bool, has_account: bool) -> Rejected:
    if not is_known:
        return unknown_feature(wanted.feature)
    if not has_account:
        return no_account(wanted.account or f"customer:{wanted.consumer}")
    return Rejected("insufficient_balance", "Nothing was granted to draw on.", {"available": 0})


def unknown_feature(feature: str) -> Rejected:
    """The refusal of a feature that has no units, or that the catalog never had."""
    return Rejected(
        "unknown_feature", f"The catalog has no limit or consumable {feature!r}.", {"feature": feature}
    )


def no_account(account: str) -> Rejected:
    """The refusal to draw on an account that is not there, or not this consumer's to draw on."""
    return Rejected(
        "no_account", "There is no such account that this consumer may draw on.", {"account": account}
    )
