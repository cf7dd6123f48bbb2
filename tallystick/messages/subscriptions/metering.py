"""Usage reports to Stripe's meters, for Tallystick's own services."""

from typing import Annotated

from pydantic import Field, StringConstraints

from tallystick.messages.base import Command, Customer, Instant, PositiveCount, Strict, TolerantModel
from tallystick.messages.catalog import MeterName
from tallystick.messages.subscriptions.types import SERVICE

READINGS_MAX = 100
"""Readings per command: one Stripe call each, a few seconds in total."""

Identifier = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,100}$")]
"""Stripe's identifier of a meter event, at most 100 characters."""


class Reading(Strict):
    """Units used by a customer that no other reading includes."""

    identifier: Identifier = Field(description="Deduplication key; the same when the reading is repeated.")
    customer: Customer = Field(description="Customer who pays.")
    meter: MeterName
    quantity: PositiveCount
    at: Instant = Field(description="Day of the usage.")


class ReadingSkipped(TolerantModel):
    """Reading that was not recorded."""

    identifier: str
    reason: str = Field(description="`no_stripe_customer`, or Stripe's error.")


class UsageRecorded(TolerantModel):
    """Result of `record_usage`."""

    recorded: list[str] = Field(description="Identifiers of the recorded readings.")
    skipped: list[ReadingSkipped]


class RecordUsage(Command[UsageRecorded], service=SERVICE):
    """Record readings on Stripe's meters, each once, creating missing meters with the `sum` formula.

    For Tallystick's own services.
    """

    readings: Annotated[list[Reading], Field(min_length=1, max_length=READINGS_MAX)]
