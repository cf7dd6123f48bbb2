"""Questions about revenue, answered from the sums by day."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import date
from fractions import Fraction
from typing import Any

from services.monitoring.domain.periods import Period, days_of, periods
from services.monitoring.domain.revenue_report import Standing, Sums, report
from services.monitoring.domain.rounding import percent, round_half_up
from services.monitoring.service import service
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import monitoring as m

CHURN_DAYS = 30
"""Customers are counted as lost within this many days."""
SELECT_BEFORE = """
    SELECT currency, kind, denominator, sum(numerator), sum(customers)::bigint FROM monitoring.revenue_days
    WHERE day < %s GROUP BY currency, kind, denominator
"""
SELECT_PERIODS = """
    SELECT greatest(date_trunc(%(by)s, day::timestamp)::date, %(first)s::date) AS start,
           currency, kind, denominator, sum(numerator), sum(customers)::bigint
    FROM monitoring.revenue_days WHERE day >= %(first)s AND day < %(end)s
    GROUP BY start, currency, kind, denominator
"""
"""Postgres cuts weeks on Mondays, too; the first period begins with the span."""


@service.question(m.GetRevenue)
async def get_revenue(work: UnitOfWork, question: m.GetRevenue) -> m.Revenue:
    """Return the revenue of each period and currency."""
    first, end = days_of(question.since, question.until)
    standings = await standings_before(work, first)
    by_start = await _sums_by_start(work, first, end, question.by)
    items = []
    for period in periods(first, end, question.by):
        sums = by_start.get(period.start, {})
        standings = {**dict.fromkeys(sorted(sums), Standing()), **standings}
        for currency in sorted(standings):
            figures = report(standings[currency], sums.get(currency, Sums()))
            items.append(_period(period, currency, figures))
        standings = {
            currency: standing.after(sums.get(currency, Sums())) for currency, standing in standings.items()
        }
    return m.Revenue(items=items)


async def standings_before(work: UnitOfWork, day: date) -> dict[str, Standing]:
    """Return what revenue has come to before a day, by currency."""
    cursor = await work.driver.execute(SELECT_BEFORE, (day,))
    sums: dict[str, Sums] = defaultdict(Sums)
    for currency, kind, denominator, numerator, customers in await cursor.fetchall():
        sums[currency].add(kind, Fraction(int(numerator), denominator), customers)
    return {currency: Standing().after(sums[currency]) for currency in sums}


async def mrr_before(work: UnitOfWork, day: date) -> dict[str, int]:
    """Return the monthly recurring revenue at the start of a day, by currency, rounded."""
    standings = await standings_before(work, day)
    return {currency: round_half_up(standing.mrr) for currency, standing in sorted(standings.items())}


async def churn_percent(work: UnitOfWork, first: date, end: date) -> dict[str, float | None]:
    """Return the share of customers who left within a span of days, by currency."""
    standings = await standings_before(work, first)
    by_start = (await _sums_by_start(work, first, end, "month")).values()
    return {
        currency: percent(
            sum(sums[currency].churned for sums in by_start if currency in sums), standing.active
        )
        for currency, standing in sorted(standings.items())
    }


async def _sums_by_start(work: UnitOfWork, first: date, end: date, by: m.By) -> dict[date, dict[str, Sums]]:
    """Return what happened in each period that is not empty, by its first day and by currency."""
    cursor = await work.driver.execute(SELECT_PERIODS, {"by": by, "first": first, "end": end})
    found: dict[date, dict[str, Sums]] = defaultdict(lambda: defaultdict(Sums))
    for start, currency, kind, denominator, numerator, customers in await cursor.fetchall():
        found[start][currency].add(kind, Fraction(int(numerator), denominator), customers)
    return found


def _period(period: Period, currency: str, figures: Mapping[str, Any]) -> m.RevenuePeriod:
    return m.RevenuePeriod(start=period.start, end=period.end, currency=currency, **figures)
