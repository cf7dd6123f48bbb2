"""Invariants about units beyond the included ones: owed = the sum of their entries = charged + open."""

OWED_UNEQUAL_TO_ENTRIES = """
    SELECT grant_id, owed.account, consumed, coalesce(moved, 0) AS moved
    FROM {schema}.overages AS owed
    LEFT JOIN {schema}.grants AS given USING (grant_id)
    LEFT JOIN (
        SELECT grant_id, sum(CASE WHEN kind IN ('consumed', 'committed') THEN quantity
                                  WHEN kind = 'refunded' THEN -quantity ELSE 0 END) AS moved
        FROM {schema}.entries GROUP BY grant_id
    ) AS ledger USING (grant_id)
    WHERE consumed IS DISTINCT FROM coalesce(moved, 0)
      -- Entries that are not kept any more.
      AND NOT EXISTS (
          SELECT FROM {schema}.partitions
          WHERE table_name = 'entries' AND dropped_at IS NOT NULL
            AND opened_at + interval '30 days' > owed.period_start)
    LIMIT 20
"""

CHARGED_UNEQUAL_TO_LINES = """
    SELECT grant_id, account, charged, coalesce(lines, 0) AS lines
    FROM {schema}.overages LEFT JOIN (
        SELECT grant_id, sum(quantity) AS lines
        FROM {schema}.overage_lines JOIN {schema}.overage_charges USING (charge_id)
        WHERE status <> 'failed' GROUP BY grant_id
    ) AS billed USING (grant_id)
    WHERE charged <> coalesce(lines, 0) LIMIT 20
"""

CLOSED_WITH_OPEN_UNITS = """
    SELECT grant_id, owed.account, consumed, reserved, charged
    FROM {schema}.overages AS owed JOIN {schema}.grants USING (grant_id)
    WHERE closed_at IS NOT NULL AND (consumed <> charged OR reserved > 0) LIMIT 20
"""

CHARGE_UNEQUAL_TO_LINES = """
    SELECT charge_id, amount, coalesce(sum(quantity * unit_amount), 0) AS lines
    FROM {schema}.overage_charges LEFT JOIN {schema}.overage_lines USING (charge_id)
    LEFT JOIN {schema}.overages USING (grant_id)
    GROUP BY charge_id, amount HAVING amount <> coalesce(sum(quantity * unit_amount), 0) LIMIT 20
"""
