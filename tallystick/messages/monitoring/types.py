"""Types shared by the messages of `monitoring`."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

SERVICE = "monitoring"
RESOURCE_VALUE_MAX = 1e15
"""Limit of a reported value; integers up to it are exact in every JSON parser."""

ResourceValue = Annotated[float, Field(ge=0, le=RESOURCE_VALUE_MAX, allow_inf_nan=False)]
"""A measured value, such as gigabytes or a number of shops."""
By = Literal["day", "week", "month"]
"""Length of the periods of a report."""
PERIODS_MAX: dict[By, int] = {"day": 800, "week": 3_700, "month": 3_700}
"""Limit of a report in days: two years by day, ten years by week or month."""
Percent = Annotated[float, Field(allow_inf_nan=False)]
"""A percentage, such as 25.0."""


def days_between(since: datetime, until: datetime) -> int:
    """Return how many whole days lie between two moments."""
    return (until - since).days
