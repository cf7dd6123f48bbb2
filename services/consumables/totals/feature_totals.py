"""Totals of units by feature, answered from what triggers keep while units change."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from services.consumables.service import service
from services.consumables.tables.totals import FeatureTotalRow
from shared.messaging.service import tick_cause
from shared.persistence.unit_of_work import Transactions, UnitOfWork
from tallystick.messages import consumables as m

SELECT_TOTALS = """
    WITH kept AS (
        SELECT feature, counted_from, sum(actual) AS actual, sum(theoretical_limit) AS theoretical_limit,
               sum(unlimited_actual) AS unlimited_actual
        FROM (
            SELECT feature, counted_from, until, actual, theoretical_limit, unlimited_actual
            FROM consumables.feature_totals
            UNION ALL
            SELECT feature, counted_from, until, actual, theoretical_limit, unlimited_actual
            FROM consumables.feature_changes
        ) AS parts WHERE until > %(now)s GROUP BY feature, counted_from
    ), unlimited AS (
        SELECT feature, account FROM consumables.balances WHERE unlimited > 0
    ), accounts AS (
        SELECT feature, count(*) AS accounts FROM unlimited GROUP BY feature
    ), beside AS (
        -- Finite grants of accounts that have an unlimited one too: they do not limit anything.
        SELECT feature, sum(consumed + reserved) AS actual, sum(quantity) AS theoretical_limit
        FROM unlimited JOIN consumables.grants USING (account, feature)
        WHERE quantity IS NOT NULL AND ended_at IS NULL AND coalesce(expires_at > %(now)s, true)
        GROUP BY feature
    )
    SELECT code, kind,
           greatest(0, coalesce(kept.actual, 0) - coalesce(beside.actual, 0))::bigint,
           greatest(0, coalesce(kept.theoretical_limit, 0) - coalesce(beside.theoretical_limit, 0))::bigint,
           coalesce(accounts, 0),
           (coalesce(unlimited_actual, 0) + coalesce(beside.actual, 0))::bigint
    FROM consumables.known_features
    LEFT JOIN kept ON kept.feature = code
        AND counted_from = CASE kind WHEN 'limit' THEN 'balances' ELSE 'grants' END
    LEFT JOIN accounts ON accounts.feature = code
    LEFT JOIN beside ON beside.feature = code AND kind = 'consumable'
    WHERE kind <> 'flag' AND (NOT archived OR kept.feature IS NOT NULL) ORDER BY code
"""
FOLD = """
    WITH gone AS (DELETE FROM consumables.feature_changes RETURNING *)
    INSERT INTO consumables.feature_totals AS old
        (feature, counted_from, until, actual, theoretical_limit, unlimited_actual)
    SELECT feature, counted_from, until, sum(actual), sum(theoretical_limit), sum(unlimited_actual)
    FROM gone GROUP BY feature, counted_from, until ORDER BY feature, counted_from, until
    ON CONFLICT (feature, counted_from, until) DO UPDATE
    SET actual = old.actual + excluded.actual,
        theoretical_limit = old.theoretical_limit + excluded.theoretical_limit,
        unlimited_actual = old.unlimited_actual + excluded.unlimited_actual
"""
KEPT_AFTER_END = timedelta(days=1)
"""Expired grants are not counted again, so their rows are deleted, a day later because it does no harm."""
LOCK_FOLD = "SELECT pg_try_advisory_xact_lock(hashtextextended('consumables fold_totals', 0))"


@service.question(m.FeatureTotals)
async def feature_totals(work: UnitOfWork, _: m.FeatureTotals) -> m.TotalsByFeature:
    """Return the units of every feature in use or used, and what they are limited to."""
    cursor = await work.driver.execute(SELECT_TOTALS, {"now": work.now})
    return m.TotalsByFeature(
        features={
            code: m.FeatureTotal(
                kind=kind,
                actual=actual,
                theoretical_limit=limit,
                unlimited_accounts=accounts,
                unlimited_actual=unlimited_actual,
            )
            for code, kind, actual, limit, accounts, unlimited_actual in await cursor.fetchall()
        }
    )


@service.job("fold_totals")
async def fold_totals(transactions: Transactions, at: datetime) -> None:
    """Add up what was appended since the last time; another worker that does so already is left alone."""
    async with transactions.begin(caused_by=tick_cause("consumables", "fold_totals", at), now=at) as work:
        cursor = await work.driver.execute(LOCK_FOLD)
        row = await cursor.fetchone()
        if row is not None and row[0]:
            await work.driver.execute(FOLD)
            over = sa.delete(FeatureTotalRow).where(FeatureTotalRow.until < at - KEPT_AFTER_END)
            await work.session.execute(over)
