"""Drawing units beyond the included ones, for commands that found too few.

Nothing is read for it unless a command finds too few units. One statement finds then, for all balances that
such commands reach, the price of their feature and the billing period in which it is owed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import orjson

from services.consumables.domain.balance import Balance, Cause, Drawn, Grant, Insufficient, add_grant
from services.consumables.domain.overage import Terms, draw_beyond, new_grant
from services.consumables.ledger.repository import LedgerBatch, Reach
from shared.ids import new_id
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages.consumables import EntryKind

SELECT_TERMS = """
    SELECT DISTINCT ON (key.account, key.feature) key.account, key.feature, known.customer,
           known.subscription_id, known.period_start, known.period_end,
           coalesce(owed.unit_amount, overage_amount), coalesce(owed.currency, overage_currency),
           CASE WHEN owed.grant_id IS NULL THEN overage_cap ELSE owed.cap END, owed.grant_id
    FROM jsonb_to_recordset(%(keys)s::jsonb) AS key (account text, feature text)
    JOIN consumables.known_features AS priced
        ON priced.code = key.feature AND overage_amount IS NOT NULL AND NOT priced.archived
    JOIN consumables.allotments
        ON allotments.account = key.account AND allotments.feature = key.feature AND NOT allotments.closed
    JOIN consumables.terms
        ON terms.subscription_id = allotments.subscription_id AND terms.slot = allotments.slot AND offered
    JOIN consumables.known_subscriptions AS known ON known.subscription_id = allotments.subscription_id
        AND status <> 'override' AND grants AND ended_at IS NULL AND period_end IS NOT NULL
        AND (known.ends_at IS NULL OR known.ends_at > %(now)s)
    LEFT JOIN consumables.overages AS owed
        ON owed.account = key.account AND owed.feature = key.feature
        AND owed.subscription_id = known.subscription_id AND owed.period_start = known.period_start
    ORDER BY key.account, key.feature, known.period_end DESC, known.subscription_id
"""
"""The subscription that includes a feature for an account sets the billing period; of several, the one whose
period ends last."""
INSERT = """
    INSERT INTO consumables.overages
        (grant_id, account, feature, customer, subscription_id, period_start, period_end, unit_amount,
         currency, cap)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
PREFERRED = ("seat:", "team:", "customer:")
"""The account that owes, of several that a consumer reaches: what they use at work is the team's matter."""


class Source(NamedTuple):
    """The billing period of a balance, and its grant for units beyond, if there is one yet."""

    account: str
    feature: str
    customer: str
    subscription_id: str
    period_start: datetime
    period_end: datetime
    unit_amount: int
    currency: str
    cap: int | None
    grant_id: str | None

    @property
    def terms(self) -> Terms:
        """The price and the cap."""
        return Terms(self.unit_amount, self.currency, self.cap)

    @property
    def key(self) -> str:
        """The unique key of the grant."""
        start = self.period_start.strftime("%Y-%m-%dT%H:%M:%S.%f")
        return f"overage/{self.subscription_id}/{self.account}/{self.feature}/{start}"


@dataclass(slots=True)
class Beyond:
    """The balances of a transaction that may owe units."""

    work: UnitOfWork
    batch: LedgerBatch
    sources: dict[tuple[str, str], Source]

    async def complete(
        self,
        found: Drawn | Insufficient,
        reach: Reach,
        quantity: int,
        kind: EntryKind,
        cause: Cause,
        *,
        partial: bool,
    ) -> Drawn | Insufficient:
        """Draw what a command found too few units for; `found` is what becomes of it if none may be owed."""
        source = self._source_of(reach.balances)
        grant = await self._grant(source) if source is not None else None
        if source is None or grant is None:
            return found
        parts = found.parts if isinstance(found, Drawn) else []
        missing = quantity - sum(part.quantity for part in parts)
        more = draw_beyond(
            reach.balances, reach.grants, grant, source.terms, missing, kind, cause, partial=partial
        )
        if isinstance(more, Insufficient):
            return found if parts else more
        return Drawn([*parts, *more.parts], quantity - missing + more.quantity, more.remaining)

    def _source_of(self, balances: Sequence[Balance]) -> Source | None:
        sources = [self.sources.get((balance.account, balance.feature)) for balance in balances]
        found = [source for source in sources if source is not None]
        return min(found, key=_preference) if found else None

    async def _grant(self, source: Source) -> Grant | None:
        if source.grant_id is not None:
            grant = self.batch.grants.get(source.grant_id)
            return grant if grant is not None and not grant.has_ended else None
        new = new_grant(new_id("grant"), source.key)
        balance = self.batch.balances[source.account, source.feature]
        grant = add_grant(balance, new, self.work.now)
        self.batch.grants[new.grant_id] = grant
        values = (new.grant_id, *source[: Source._fields.index("grant_id")])
        await self.work.driver.execute(INSERT, values)
        self.sources[source.account, source.feature] = source._replace(grant_id=new.grant_id)
        return grant


async def load_beyond(work: UnitOfWork, batch: LedgerBatch, reaches: Iterable[Reach]) -> Beyond:
    """Find which of the balances that were reached may owe units."""
    keys = {
        (balance.account, balance.feature)
        for reach in reaches
        for balance in reach.balances
        if balance.kind == "consumable"
    }
    wanted = [{"account": account, "feature": feature} for account, feature in sorted(keys)]
    rows = []
    if wanted:
        cursor = await work.driver.execute(
            SELECT_TERMS, {"keys": orjson.dumps(wanted).decode(), "now": work.now}
        )
        rows = await cursor.fetchall()
    return Beyond(work, batch, {(row[0], row[1]): Source._make(row) for row in rows})


def _preference(source: Source) -> tuple[int, str]:
    kinds = [number for number, kind in enumerate(PREFERRED) if source.account.startswith(kind)]
    return kinds[0], source.account
