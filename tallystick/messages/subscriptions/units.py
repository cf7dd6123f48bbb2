"""What a change does to the units that a plan gives."""

from pydantic import Field

from tallystick.messages.base import Code, Count, TolerantModel
from tallystick.messages.catalog import Interval


class UnitsChange(TolerantModel):
    """What a change does to the units of one feature that the plan gives.

    Units that were carried over, bought or granted manually come on top, and stay.
    """

    feature: Code
    change: int = Field(description="Units added to the balance at once; below zero: taken back.")
    remaining: Count = Field(description="What then remains of the plan's own units of the running cycle.")
    every: Interval | None = Field(
        description="How often the plan gives units; null: once, or at different intervals before and after."
    )
    next_cycle: Count | None = Field(
        description="Units that each later cycle gives, without a rollover; null: there are no cycles."
    )
    accounts: Count = Field(
        description="Number of accounts that these figures are the sums of: one, or a team's claimed seats."
    )
