"""The revenue report for the API and the pages: its usual span, and its form as CSV."""

import csv
import io
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tallystick.messages import monitoring as m

MONTHS_SHOWN = 12
COLUMNS = tuple(m.RevenuePeriod.model_fields)


def revenue_question(since: datetime | None, until: datetime | None, by: m.By, now: datetime) -> m.GetRevenue:
    """Return the question for a span; by default the last twelve calendar months up to now.

    Raises ValueError for a span that is none, or too long.
    """
    end = until or now.astimezone(UTC)
    start = since or _first_of_month(end, MONTHS_SHOWN - 1)
    return m.GetRevenue(since=start, until=end, by=by)


def as_csv(items: Iterable[Mapping[str, Any]]) -> str:
    """Return the periods as CSV, one line each, with the names of the fields above; nothing where null."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    for item in items:
        writer.writerow(["" if item[column] is None else item[column] for column in COLUMNS])
    return buffer.getvalue()


def _first_of_month(moment: datetime, months_before: int) -> datetime:
    first = moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    for _ in range(months_before):
        first = (first - timedelta(days=1)).replace(day=1)
    return first
