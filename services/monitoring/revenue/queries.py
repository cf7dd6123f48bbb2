"""Questions about revenue, answered from the sums by day."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date
from fractions import Fraction
from typing import Any

from services.monitoring.domain.movements import Kind
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
SELECT_DAYS = """
    SELECT day, currency, kind, denominator, numerator, customers FROM monitoring.revenue_days
    WHERE day >= %s AND day < %s
"""


@service.question(m.GetRevenue)
async def get_revenue(work: UnitOfWork, question: m.GetRevenue) -> m.Revenue:
    """Return the revenue of each period and currency."""
    first, end = days_of(question.since, question.until)
    standings = await standings_before(work, first)
    days = await _sums_by_day(work, first, end)
    items = []
    for period in periods(first, end, question.by):
        sums = _sums_of(days, period)
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
    found = _sums_of(await _sums_by_day(work, first, end), Period(first, end))
    return {
        currency: percent(found[currency].churned if currency in found else 0, standing.active)
        for currency, standing in sorted(standings.items())
    }


Days = Mapping[date, Iterable[tuple[str, Kind, Fraction, int]]]


async def _sums_by_day(work: UnitOfWork, first: date, end: date) -> Days:
    cursor = await work.driver.execute(SELECT_DAYS, (first, end))
    days: dict[date, list[tuple[str, Kind, Fraction, int]]] = defaultdict(list)
    for day, currency, kind, denominator, numerator, customers in await cursor.fetchall():
        days[day].append((currency, kind, Fraction(int(numerator), denominator), customers))
    return days


def _sums_of(days: Days, period: Period) -> dict[str, Sums]:
    sums: dict[str, Sums] = defaultdict(Sums)
    for day in period.days():
        for currency, kind, amount, customers in days.get(day, ()):
            sums[currency].add(kind, amount, customers)
    return sums


def _period(period: Period, currency: str, figures: Mapping[str, Any]) -> m.RevenuePeriod:
    return m.RevenuePeriod(start=period.start, end=period.end, currency=currency, **figures)
