"""Usage alerts: events when a share of the units of a cycle is used."""

from typing import Annotated

from pydantic import Field

from tallystick.messages.base import Code, Command, Question, TolerantModel
from tallystick.messages.consumables.types import SERVICE, Account

PERCENTS_MAX = 10
"""Alerts of one account and feature."""
Percent = Annotated[int, Field(ge=1, le=100)]
Percents = Annotated[list[Percent], Field(max_length=PERCENTS_MAX)]


class UsageAlertsSnapshot(TolerantModel):
    """Percentages of the units of a cycle at which an event tells of the usage."""

    account: Account
    feature: Code
    percents: list[int] = Field(description="In ascending order.")
    reached: list[int] = Field(description="Those that the running cycle has reached; told once each.")


class UsageAlerts(TolerantModel):
    """Usage alerts after the command, or as queried."""

    usage_alerts: UsageAlertsSnapshot


class SetUsageAlerts(Command[UsageAlerts], service=SERVICE, rejections=("no_account", "unknown_feature")):
    """Set the usage alerts of an account for a feature; an empty list removes them.

    `consumable.thresholdReachedV1` tells a percentage once in a cycle, in the commit that reaches it. What is
    reached already is not told. The next cycle, or a grant that leads back under it, arms it again.
    """

    account: Account
    feature: Code
    percents: Percents


class GetUsageAlerts(Question[UsageAlerts], service=SERVICE, rejections=("no_account",)):
    """Get the usage alerts of an account for a feature; none have no percentages."""

    account: Account
    feature: Code
