"""How much was used, over time."""

from typing import Literal

from pydantic import Field

from tallystick.messages.base import Code, Count, Customer, Instant, Question, Told
from tallystick.messages.consumables.types import SERVICE


class UsageBucket(Told):
    """What was used in one span of time."""

    start: Instant = Field(description="UTC midnight; weeks begin on Mondays.")
    end: Instant
    consumer: Customer | None = Field(default=None, description="Whose; null unless grouped by consumer.")
    quantity: Count


class UsageReport(Told):
    """Usage by spans of time, oldest first; those without any are left out."""

    items: list[UsageBucket]
    total: Count


class Usage(Question[UsageReport], service=SERVICE):
    """How many units were used from a customer's accounts, their teams' and seats' among them."""

    customer: Customer = Field(description="Who pays for the accounts.")
    feature: Code
    since: Instant = Field(description="From the day of this moment on.")
    until: Instant = Field(description="Before this moment; its own day counts unless it is midnight.")
    by: Literal["day", "week", "month"]
    group_by: Literal["consumer"] | None = None
