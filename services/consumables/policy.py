"""What the operator allows; set once from the settings, when the worker starts."""

from dataclasses import dataclass

from services.consumables.domain.auto_recharge import RECHARGES_PER_HOUR
from services.consumables.domain.late_usage import LATE_USAGE_DAYS


@dataclass(slots=True)
class Policy:
    """Limits that an installation may change."""

    recharges_per_hour: int = RECHARGES_PER_HOUR
    late_usage_days: int = LATE_USAGE_DAYS


policy = Policy()
