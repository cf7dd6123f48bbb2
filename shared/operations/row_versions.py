"""The invariant that every service's rows have the version of their last event."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.operations.audit import SHOWN_VIOLATIONS, LiveSystem

WITHOUT_EVENT = """
    -- The last event of a row may be in a partition that was dropped.
    AND NOT (told.version IS NULL AND EXISTS (
        SELECT FROM {schema}.partitions WHERE table_name = 'outbox' AND dropped_at IS NOT NULL))
"""
EVENT_WITHOUT_ROW = "AND row.version IS NOT NULL"


@dataclass(frozen=True, slots=True)
class RowsMatchLastEvents:
    """Every row of an entity has the version of its last event."""

    schema: str
    keys: Mapping[tuple[str, str], str]
    """The expression for an entity's id in the outbox, by entity and table."""
    forgets_rows: bool = False
    """Whether rows may be gone before their events are."""
    name: str = "rows are at the version that was told last"

    async def violations(self, live: LiveSystem) -> Sequence[str]:
        """Return the rows with another version, and events without a row."""
        found = []
        for (entity, table), key in self.keys.items():
            rows = await live.rows(
                self.schema,
                f"""SELECT coalesce(row.id, told.entity_id) AS id, row.version, told.version AS told
                    FROM (SELECT {key} AS id, version FROM {{schema}}.{table}) AS row
                    FULL JOIN (SELECT entity_id, max(version) AS version FROM {{schema}}.outbox
                               WHERE entity = %s GROUP BY entity_id) AS told ON told.entity_id = row.id
                    WHERE row.version IS DISTINCT FROM coalesce(told.version, 0)
                    {EVENT_WITHOUT_ROW if self.forgets_rows else ""} {WITHOUT_EVENT}
                    LIMIT {SHOWN_VIOLATIONS}""",  # noqa: S608 - our own names
                entity,
            )
            found += [f"{entity} {row['id']} is at {row['version']}, told {row['told']}" for row in rows]
        return found
