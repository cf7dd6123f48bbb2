"""Invariants of this service's live data, checked by `./dev audit`."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.consumables.cycle_invariants import LESS_THAN_RECORDED, CyclesGiveWhatEntitlementsSay
from services.consumables.overage_invariants import (
    CHARGE_UNEQUAL_TO_LINES,
    CHARGED_UNEQUAL_TO_LINES,
    CLOSED_WITH_OPEN_UNITS,
    OWED_UNEQUAL_TO_ENTRIES,
)
from shared.operations.audit import LiveSystem
from shared.operations.audit_helpers import bucket_values, lasting_violations
from shared.operations.row_versions import RowsMatchLastEvents
from tallystick.messages.consumables import BucketBalance
from tallystick.subjects import BALANCES_BUCKET

SCHEMA = "consumables"

UNEQUAL_TO_LEDGER = """
    SELECT account, feature, balance.granted, balance.consumed, balance.reserved, balance.expired,
           was_granted, was_consumed, was_reserved, was_expired
    FROM {schema}.balances AS balance FULL JOIN (
        SELECT account, feature,
               coalesce(sum(quantity) FILTER (WHERE kind = 'granted'), 0) AS was_granted,
               coalesce(sum(CASE WHEN kind IN ('consumed', 'committed') THEN quantity
                                 WHEN kind IN ('freed', 'refunded') THEN -quantity END), 0) AS was_consumed,
               coalesce(sum(CASE WHEN kind = 'reserved' THEN quantity
                                 WHEN kind IN ('committed', 'released') THEN -quantity END), 0)
                   AS was_reserved,
               coalesce(sum(quantity) FILTER (WHERE kind IN ('expired', 'revoked')), 0) AS was_expired
        FROM (SELECT account, feature, kind, quantity FROM {schema}.entries
              UNION ALL SELECT account, feature, kind, quantity FROM {schema}.closed_entries) AS moved
        GROUP BY account, feature
    ) AS ledger USING (account, feature)
    WHERE (balance.granted, balance.consumed, balance.reserved, balance.expired)
        IS DISTINCT FROM (coalesce(was_granted, 0), coalesce(was_consumed, 0), coalesce(was_reserved, 0),
                          coalesce(was_expired, 0))
    LIMIT 20
"""

UNEQUAL_TO_GRANTS = """
    SELECT account, feature, balance.granted, balance.consumed, balance.reserved, balance.expired,
           balance.remaining, balance.unlimited
    FROM {schema}.balances AS balance FULL JOIN (
        SELECT account, feature, coalesce(sum(quantity), 0) AS granted, sum(consumed) AS consumed,
               sum(reserved) AS reserved, sum(expired) AS expired, sum(remaining) AS remaining,
               count(*) FILTER (
                   WHERE quantity IS NULL AND ended_at IS NULL AND source ->> 'kind' <> 'overage'
               ) AS unlimited
        FROM {schema}.grants GROUP BY account, feature
    ) AS given USING (account, feature)
    WHERE (balance.granted, balance.consumed, balance.reserved, balance.expired, balance.remaining,
           balance.unlimited)
        IS DISTINCT FROM (coalesce(given.granted, 0), coalesce(given.consumed, 0),
                          coalesce(given.reserved, 0), coalesce(given.expired, 0),
                          coalesce(given.remaining, 0), coalesce(given.unlimited, 0))
    LIMIT 20
"""

UNEQUAL_TO_TOTALS = """
    WITH counted AS (
        SELECT feature, 'balances' AS counted_from,
               sum(CASE WHEN unlimited > 0 THEN 0 ELSE consumed + reserved END) AS actual,
               sum(CASE WHEN unlimited > 0 THEN 0 ELSE consumed + reserved + remaining - excess END)
                   AS theoretical_limit
        FROM {schema}.balances WHERE kind = 'limit' GROUP BY feature
        UNION ALL
        SELECT feature, 'grants', coalesce(sum(consumed + reserved) FILTER (WHERE quantity IS NOT NULL), 0),
               coalesce(sum(quantity), 0)
        FROM {schema}.grants WHERE ended_at IS NULL AND expires_at IS NULL GROUP BY feature
    ), kept AS (
        SELECT feature, counted_from, sum(actual) AS actual, sum(theoretical_limit) AS theoretical_limit
        FROM (SELECT feature, counted_from, until, actual, theoretical_limit FROM {schema}.feature_totals
              UNION ALL SELECT feature, counted_from, until, actual, theoretical_limit
              FROM {schema}.feature_changes) AS parts
        WHERE until = 'infinity' GROUP BY feature, counted_from
    )
    SELECT feature, counted_from, counted.actual, counted.theoretical_limit, kept.actual AS kept_actual,
           kept.theoretical_limit AS kept_limit
    FROM counted FULL JOIN kept USING (feature, counted_from)
    WHERE (coalesce(counted.actual, 0), coalesce(counted.theoretical_limit, 0))
        IS DISTINCT FROM (coalesce(kept.actual, 0), coalesce(kept.theoretical_limit, 0)) LIMIT 20
"""

UNEQUAL_TO_RESERVATIONS = """
    SELECT grant_id, given.reserved, held.reserved AS held
    FROM {schema}.grants AS given FULL JOIN (
        SELECT part ->> 'grant_id' AS grant_id, sum((part ->> 'quantity')::bigint) AS reserved
        FROM {schema}.reservations, jsonb_array_elements(drawn) AS part
        WHERE status = 'open' GROUP BY part ->> 'grant_id'
    ) AS held USING (grant_id)
    WHERE given.reserved IS DISTINCT FROM coalesce(held.reserved, 0) LIMIT 20
"""

UNPAID_OR_UNGRANTED = """
    SELECT coalesce(recharge_id, key) AS recharge_id, status, recharge.quantity, given.quantity AS given
    FROM {schema}.recharges AS recharge FULL JOIN (
        SELECT key, quantity FROM {schema}.grants WHERE starts_with(key, 'recharge/')
    ) AS given ON given.key = 'recharge/' || recharge_id
    WHERE given.quantity IS DISTINCT FROM CASE WHEN status = 'paid' THEN recharge.quantity END
    LIMIT 20
"""

_KEYS = {
    ("consumable", "balances"): "replace(account, ':', '_') || '.' || feature",
    ("recharge", "recharges"): "recharge_id",
}
"""The expression for an entity's id in the outbox, by entity and table."""


@dataclass(frozen=True, slots=True)
class QueryInvariant:
    """An invariant whose violations are the rows of one query, which reads a single snapshot."""

    name: str
    query: str
    template: str
    """The format string that describes a row."""

    async def violations(self, live: LiveSystem) -> Sequence[str]:
        """Return a description of each violating row."""
        return [self.template.format(**row) for row in await live.rows(SCHEMA, self.query)]


@dataclass(frozen=True, slots=True)
class BalancesBucketMatchesTables:
    """Every balance has a key in `billing_balances` with its value, and there are no other keys."""

    name: str = "the balances bucket equals the tables"

    async def violations(self, live: LiveSystem) -> Sequence[str]:
        """Return the keys that still differ after committed messages have had time to be published."""
        return await lasting_violations(lambda: self._differences(live))

    async def _differences(self, live: LiveSystem) -> list[str]:
        rows = await live.rows(
            SCHEMA,
            """SELECT replace(account, ':', '_') || '.' || feature AS key, version,
                      CASE WHEN unlimited = 0 THEN remaining END AS remaining
               FROM {schema}.balances WHERE version > 0""",
        )
        expected = {
            row["key"]: BucketBalance(remaining=row["remaining"], version=row["version"]) for row in rows
        }
        found = await bucket_values(live, BALANCES_BUCKET, BucketBalance)
        return [
            f"{key}: the tables say {expected.get(key)!r}, the bucket {found.get(key)!r}"
            for key in sorted(expected.keys() | found.keys())
            if expected.get(key) != found.get(key)
        ]


BALANCE = "{account} {feature}: "
INVARIANTS = (
    QueryInvariant(
        "balances are what the ledger adds up to",
        UNEQUAL_TO_LEDGER,
        BALANCE
        + "granted {granted}, consumed {consumed}, reserved {reserved}, expired {expired}; the ledger "
        "says {was_granted}, {was_consumed}, {was_reserved}, {was_expired}",
    ),
    QueryInvariant(
        "balances are the sums of their grants",
        UNEQUAL_TO_GRANTS,
        BALANCE + "granted {granted}, consumed {consumed}, reserved {reserved}, expired {expired}, "
        "remaining {remaining}, unlimited {unlimited}",
    ),
    QueryInvariant(
        "what is reserved is held by open reservations",
        UNEQUAL_TO_RESERVATIONS,
        "{grant_id}: {reserved} reserved, {held} held",
    ),
    QueryInvariant(
        "recharges bring units when they are paid, and only then",
        UNPAID_OR_UNGRANTED,
        "{recharge_id} is {status}: {quantity} bought, {given} granted",
    ),
    RowsMatchLastEvents(SCHEMA, _KEYS),
    QueryInvariant(
        "the grants of a cycle give what is recorded",
        LESS_THAN_RECORDED,
        "{account} {slot}: {granted} recorded, {given} granted",
    ),
    QueryInvariant(
        "the totals of features are the sums of their balances and grants",
        UNEQUAL_TO_TOTALS,
        "{feature} from {counted_from}: {actual} of {theoretical_limit}, kept {kept_actual} of {kept_limit}",
    ),
    QueryInvariant(
        "units that are owed are what the ledger adds up to",
        OWED_UNEQUAL_TO_ENTRIES,
        "{grant_id} of {account}: {consumed} owed, the ledger says {moved}",
    ),
    QueryInvariant(
        "units that are charged are on charges that have not failed",
        CHARGED_UNEQUAL_TO_LINES,
        "{grant_id} of {account}: {charged} charged, {lines} on charges",
    ),
    QueryInvariant(
        "what is closed has nothing left to charge",
        CLOSED_WITH_OPEN_UNITS,
        "{grant_id} of {account}: {consumed} owed, {reserved} reserved, {charged} charged",
    ),
    QueryInvariant(
        "charges are the sums of their lines",
        CHARGE_UNEQUAL_TO_LINES,
        "{charge_id}: {amount}, its lines {lines}",
    ),
    CyclesGiveWhatEntitlementsSay(),
    BalancesBucketMatchesTables(),
)
