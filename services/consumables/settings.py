"""The settings of the consumables worker: limits of automatic recharges and of late usage."""

from pydantic import Field

from services.consumables.domain.auto_recharge import RECHARGES_PER_HOUR
from services.consumables.domain.late_usage import LATE_USAGE_DAYS
from shared.settings import Settings


class ConsumablesSettings(Settings):
    """The consumables worker's settings; a field's name in capitals is its environment variable."""

    recharges_per_hour: int = Field(
        default=RECHARGES_PER_HOUR,
        ge=1,
        description="Automatic recharges of an account and feature within an hour; more suspend it.",
    )
    late_usage_days: int = Field(
        default=LATE_USAGE_DAYS, ge=0, le=366, description="How many days back a usage may be reported."
    )
