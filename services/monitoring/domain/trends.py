"""Growth trends: the change over a span, and when a robust line through all days meets a limit.

The line is Theil–Sen's: its slope is the median of the slopes between all pairs of days, so that a few days
that are far off do not move it, and days may be missing. The interval of the slope comes from the
distribution of Kendall's statistic (Hollander and Wolfe, Nonparametric Statistical Methods, chapter 9).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from statistics import median

from services.monitoring.domain.rounding import round_half_up, round_to

Z_80_PERCENT = 1.2816
"""The normal quantile that leaves 10 % on each side."""
PROJECTED_DAYS = 30
FAR_DAYS = 36_500
"""A limit that is met in more than a hundred years is not met."""
EXACT = 1e-9
"""What computers add to sums of binary fractions."""

Value = int | float


@dataclass(frozen=True, slots=True)
class Growth:
    """How a figure grew, and when it meets its limit."""

    start_value: Value
    current_value: Value
    change: Value
    growth_rate_percent: float | None
    daily_growth_rate: float | None
    monthly_projection: int | None
    reaches_limit_on: date | None = None
    reaches_limit_between: tuple[date | None, date | None] | None = None


def growth(series: Sequence[tuple[date, Value]], limit: Value | None = None) -> Growth | None:
    """Return the growth over a series of days, oldest first; None for fewer than two days."""
    if len(series) < 2:
        return None
    (first_day, start), (last_day, current) = series[0], series[-1]
    change = current - start
    rate = Fraction(change) * 100 / Fraction(start) if start else None
    daily = rate / (last_day - first_day).days if rate is not None else None
    on, between = reaches_limit(series, limit) if limit is not None else (None, None)
    return Growth(
        start,
        current,
        change,
        round_to(rate, 2) if rate is not None else None,
        round_to(daily, 3) if daily is not None else None,
        round_half_up(Fraction(current) * (1 + daily * PROJECTED_DAYS / 100)) if daily is not None else None,
        on,
        between,
    )


def reaches_limit(
    series: Sequence[tuple[date, Value]], limit: Value
) -> tuple[date | None, tuple[date | None, date | None] | None]:
    """Return the day on which the trend meets a limit with its 80 % interval; None without growth.

    The latest day of the interval is None where the lowest slope never gets there.
    """
    days = [(day - series[0][0]).days for day, _ in series]
    values = [float(value) for _, value in series]
    slopes = sorted(
        (values[j] - values[i]) / (days[j] - days[i])
        for i in range(len(days))
        for j in range(i + 1, len(days))
    )
    slope = median(slopes)
    if slope <= 0:
        return None, None
    low, high = _interval(slopes, len(days))

    def meets(angle: float) -> date | None:
        return _meets(series[0][0], days, values, angle, float(limit))

    on = meets(slope)
    return on, (meets(high), meets(low)) if on is not None else None


def _interval(slopes: Sequence[float], number: int) -> tuple[float, float]:
    """Return the 80 % interval of the slope; of few days, the lowest and the highest slope."""
    spread = Z_80_PERCENT * math.sqrt(number * (number - 1) * (2 * number + 5) / 18)
    low = max(0, math.floor((len(slopes) - spread) / 2))
    high = min(len(slopes) - 1, math.ceil((len(slopes) + spread) / 2))
    return slopes[low], slopes[high]


def _meets(
    first: date, days: Sequence[int], values: Sequence[float], slope: float, limit: float
) -> date | None:
    if slope <= 0:
        return None
    intercept = median(value - slope * day for day, value in zip(days, values, strict=True))
    number = max(math.ceil((limit - intercept) / slope - EXACT), days[-1])
    return first + timedelta(days=number) if number - days[-1] <= FAR_DAYS else None
