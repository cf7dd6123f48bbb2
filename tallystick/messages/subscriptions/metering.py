"""Usage on its way to Stripe's meters, for Tallystick's own services."""

from typing import Annotated

from pydantic import Field, StringConstraints

from tallystick.messages.base import Command, Customer, Instant, PositiveCount, Strict, Told
from tallystick.messages.catalog import MeterName
from tallystick.messages.subscriptions.types import SERVICE

READINGS_MAX = 100
"""Readings in one command: a call to Stripe each, so a few seconds in all."""

Identifier = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,100}$")]
"""What Stripe tells a reading by; it takes 100 characters."""


class Reading(Strict):
    """Units that a customer used and that no other reading counts."""

    identifier: Identifier = Field(description="The same reading again has the same.")
    customer: Customer = Field(description="Who pays.")
    meter: MeterName
    quantity: PositiveCount
    at: Instant = Field(description="When they were used, to the day.")


class ReadingSkipped(Told):
    """A reading that no meter takes."""

    identifier: str
    reason: str = Field(description="`no_stripe_customer`, or what Stripe says.")


class UsageRecorded(Told):
    """What became of the readings."""

    recorded: list[str] = Field(description="The identifiers of those that are counted now.")
    skipped: list[ReadingSkipped]


class RecordUsage(Command[UsageRecorded], service=SERVICE):
    """Add readings to Stripe's meters, each once. A meter that Stripe does not have is made; it sums up.

    For Tallystick's own services.
    """

    readings: Annotated[list[Reading], Field(min_length=1, max_length=READINGS_MAX)]
