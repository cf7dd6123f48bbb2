"""The settings of the consumables worker: how often it may buy units by itself."""

from pydantic import Field

from services.consumables.domain.auto_recharge import RECHARGES_PER_HOUR
from shared.settings import Settings


class ConsumablesSettings(Settings):
    """The consumables worker's settings; a field's name in capitals is its environment variable."""

    recharges_per_hour: int = Field(
        default=RECHARGES_PER_HOUR,
        ge=1,
        description="Automatic recharges of an account and feature within an hour; more suspend it.",
    )
