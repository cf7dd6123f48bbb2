"""Usage over time."""

from typing import Literal

from pydantic import Field

from tallystick.messages.base import Code, Count, Customer, Instant, Question, TolerantModel
from tallystick.messages.consumables.types import SERVICE


class UsageBucket(TolerantModel):
    """Usage in one interval."""

    start: Instant = Field(description="UTC midnight; weeks begin on Monday.")
    end: Instant
    consumer: Customer | None = Field(default=None, description="Consumer; null unless grouped by consumer.")
    quantity: Count
    overage: Count = Field(default=0, description="How many of them were beyond the included units.")


class UsageReport(TolerantModel):
    """Usage by interval, oldest first; intervals without usage are left out."""

    items: list[UsageBucket]
    total: Count


class Usage(Question[UsageReport], service=SERVICE):
    """Get the units used from a customer's accounts, including those of their teams and seats."""

    customer: Customer = Field(description="Customer who pays for the accounts.")
    feature: Code
    since: Instant = Field(description="Start; the whole day of this time is included.")
    until: Instant = Field(description="End; the whole day of this time is included, unless it is midnight.")
    by: Literal["day", "week", "month"]
    group_by: Literal["consumer"] | None = None
