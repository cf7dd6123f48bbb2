"""Invariants about what a cycle gives: by the grants of the ledger, by the terms, and by entitlements."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shared.operations.audit import LiveSystem
from shared.operations.audit_helpers import lasting_violations

SCHEMA = "consumables"

LESS_THAN_RECORDED = """
    SELECT account, slot, granted, given
    FROM (
        SELECT allotments.account, slot, granted, coalesce(sum(given.quantity), 0) + withheld AS given,
               count(*) FILTER (WHERE given.grant_id IS NOT NULL AND given.quantity IS NULL) AS unlimited
        FROM {schema}.allotments JOIN {schema}.terms USING (subscription_id, slot)
        LEFT JOIN {schema}.grants AS given
            ON given.grant_id = ANY (grant_ids) AND source ->> 'kind' <> 'rollover'
        -- The top-up of a seat with a multiplier may have been prorated.
        WHERE kind = 'consumable' AND cycle_number IS NOT NULL AND NOT closed AND multiplier = 1
        GROUP BY subscription_id, slot, allotments.account, granted, withheld
    ) AS cycle
    WHERE CASE WHEN granted IS NULL THEN unlimited = 0 ELSE unlimited = 0 AND given < granted END
    LIMIT 20
"""
"""The latest cycle of each allotment: its grants, without rollover and also if used up or taken back, give at
least what is recorded as granted in it."""

CYCLES_GIVE = """
    WITH terms_of AS (
        SELECT known.subscription_id, known.customer, allotments.account, allotments.feature, reach,
               quantity * multiplier AS quantity, quantity IS NULL AS is_unlimited
        FROM {schema}.allotments JOIN {schema}.terms USING (subscription_id, slot)
        JOIN {schema}.known_subscriptions AS known USING (subscription_id)
        WHERE terms.kind = 'consumable' AND offered AND NOT allotments.closed
          AND known.grants AND known.ended_at IS NULL
    ), holders AS (
        SELECT member, seat_id, team_id, seat.subscription_id
        FROM {schema}.known_seats AS seat JOIN {schema}.known_teams AS team USING (team_id)
        WHERE seat.status = 'claimed' AND member IS NOT NULL AND NOT suspended AND NOT team.closed
    ), reached AS (
        SELECT customer, account, feature, quantity, is_unlimited, subscription_id
        FROM terms_of WHERE reach IN ('own', 'pool')
        UNION  -- Not ALL: a payer who holds a seat has the pool once.
        SELECT member, account, feature, quantity, is_unlimited, subscription_id
        FROM terms_of JOIN holders USING (subscription_id)
        WHERE account IN ('seat:' || seat_id, 'team:' || team_id)
    )
    SELECT customer, feature, CASE WHEN NOT bool_or(is_unlimited) THEN sum(quantity) END AS quantity
    FROM reached GROUP BY customer, feature
"""
"""What the terms of a customer's own account, seats and pools give in a cycle."""

ENTITLEMENTS_SAY = (
    "SELECT customer, feature, allowed, quantity, sources FROM {schema}.entitlements WHERE granted"
)
CONSUMABLES = "SELECT code FROM {schema}.known_features WHERE kind = 'consumable'"


@dataclass(frozen=True, slots=True)
class CyclesGiveWhatEntitlementsSay:
    """Entitlements and the terms of the grants give every customer the same units in a cycle."""

    name: str = "a cycle gives the units that entitlements say"

    async def violations(self, live: LiveSystem) -> Sequence[str]:
        """Return the customers and features for which the two still differ once events have arrived."""
        return await lasting_violations(lambda: self._differences(live))

    async def _differences(self, live: LiveSystem) -> list[str]:
        units = {row["code"] for row in await live.rows(SCHEMA, CONSUMABLES)}
        rows = await live.rows("subscriptions", ENTITLEMENTS_SAY)
        said = {(row["customer"], row["feature"]): row["quantity"] for row in rows if row["feature"] in units}
        revoked = {(row["customer"], row["feature"]) for row in rows if _is_revoked(row)}
        given = {
            (row["customer"], row["feature"]): row["quantity"] for row in await live.rows(SCHEMA, CYCLES_GIVE)
        }
        return [
            f"{' '.join(key)}: entitlements say {said.get(key, 0)}, a cycle gives {given.get(key, 0)}"
            for key in sorted((said.keys() | given.keys()) - revoked)
            if said.get(key, 0) != given.get(key, 0)
        ]


def _is_revoked(row: dict[str, Any]) -> bool:
    """Whether an override takes the feature away, which leaves what was granted in seats and pools."""
    return not row["allowed"] and any(source["through"] == "override" for source in row["sources"])
