"""Giving units to one account for a reason of its own: by hand, or because they were bought."""

from datetime import datetime

from services.consumables.books import Account, Books, Given
from shared.faults import Rejected
from shared.work import Work
from tallystick.messages.consumables import PRIORITY_DEFAULT, GrantSource

SELECT_KIND = "SELECT kind FROM consumables.known_features WHERE code = %s"
SELECT_PAYER = "SELECT customer FROM consumables.accounts WHERE account = %s"
SELECT_KEY = "SELECT grant_id FROM consumables.grants WHERE key = %s"
OWN = "customer:"


async def give(
    work: Work,
    *,
    account: str,
    feature: str,
    quantity: int | None,
    source: GrantSource,
    key: str | None = None,
    expires_at: datetime | None = None,
    priority: int = PRIORITY_DEFAULT,
) -> str | None:
    """Grant units; the grant's id, or None where something was granted under that key before.

    Rejected: `unknown_feature` where it has no units, `no_account` for a team or seat that never was one.
    """
    kind = await _value(work, SELECT_KIND, feature)
    if kind is None or kind == "flag":
        raise Rejected("unknown_feature", f"No feature {feature} has units.", details={"feature": feature})
    payer = await _value(work, SELECT_PAYER, account)
    if payer is None and not account.startswith(OWN):
        raise Rejected("no_account", f"There is no {account}.", details={"account": account})
    customer = payer or account.removeprefix(OWN)
    books = await Books.open(work, [Account(account, feature, kind, customer)])
    if key is not None and await _value(work, SELECT_KEY, key) is not None:
        return None
    given = Given(quantity, expires_at, priority, source.model_dump(mode="json"), key)
    (grant_id,) = books.give(account, feature, [given])
    await books.close()
    return grant_id


async def _value(work: Work, query: str, value: str) -> str | None:
    row = await (await work.driver.execute(query, (value,))).fetchone()
    return row[0] if row else None
