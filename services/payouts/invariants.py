"""Invariants of this service's live data, checked by `./dev audit`."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.operations.audit import LiveSystem

SCHEMA = "payouts"
_KEYS = {("payout_account", "accounts"): "payout_account_id"}
"""The key column by entity and table; the outbox holds its value as `entity_id`."""


@dataclass(frozen=True, slots=True)
class RowsAreAtTheirLastVersion:
    """Each row has the version of its last event."""

    name: str = "accounts, payouts and balances of sellers are at the version that was told last"

    async def violations(self, live: LiveSystem) -> Sequence[str]:
        """Return the rows with another version."""
        found = []
        for (entity, table), key in _KEYS.items():
            rows = await live.rows(
                SCHEMA,
                f"""SELECT coalesce({key}, told.entity_id) AS id, {table}.version, told.version AS told
                    FROM {{schema}}.{table}
                    FULL JOIN (SELECT entity_id, max(version) AS version FROM {{schema}}.outbox
                               WHERE entity = %s GROUP BY entity_id) AS told ON told.entity_id = {key}
                    WHERE {table}.version IS DISTINCT FROM coalesce(told.version, 0)
                      -- Its last event may be in a partition that was dropped.
                      AND NOT (told.version IS NULL AND EXISTS (
                          SELECT FROM {{schema}}.partitions
                          WHERE table_name = 'outbox' AND dropped_at IS NOT NULL))
                    LIMIT 20""",  # noqa: S608 - our own names
                entity,
            )
            found += [f"{entity} {row['id']} is at {row['version']}, told {row['told']}" for row in rows]
        return found


INVARIANTS = (RowsAreAtTheirLastVersion(),)
