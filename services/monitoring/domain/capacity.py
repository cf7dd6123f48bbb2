"""Capacity: what is used of what was sold, and the machines that fit the number of customers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from services.monitoring.domain.rounding import percent


@dataclass(frozen=True, slots=True)
class Use:
    """Units of a feature in use, and what they are limited to, over the accounts with a limit."""

    kind: Literal["limit", "consumable"]
    actual: int
    theoretical_limit: int
    unlimited_actual: int = 0
    unlimited_subscriptions: int = 0

    @property
    def utilization_percent(self) -> float | None:
        """The share in use; None where nothing has a limit."""
        return percent(self.actual, self.theoretical_limit, 1)

    @property
    def headroom(self) -> int:
        """What may still be used."""
        return self.theoretical_limit - self.actual


@dataclass(frozen=True, slots=True)
class Tier:
    """A row of the infrastructure table, for customers from one number to below another."""

    name: str
    customers_from: int
    customers_to: int | None
    vcpu: str
    ram: str
    storage: str
    database: str
    monthly_cost: str


def uses(totals: Mapping[str, Mapping[str, int | str]], unlimited: Mapping[str, int]) -> dict[str, Use]:
    """Return the use of each feature from its totals, and the subscriptions without a limit by feature."""
    return {
        code: Use(
            kind="limit" if total["kind"] == "limit" else "consumable",
            actual=int(total["actual"]),
            theoretical_limit=int(total["theoretical_limit"]),
            unlimited_actual=int(total["unlimited_actual"]),
            unlimited_subscriptions=unlimited.get(code, 0),
        )
        for code, total in totals.items()
    }


def current_tier(tiers: Sequence[Tier], customers: int) -> Tier | None:
    """Return the row for a number of customers; below the first row, the first one."""
    reached = [tier for tier in tiers if tier.customers_from <= customers]
    return reached[-1] if reached else (tiers[0] if tiers else None)
