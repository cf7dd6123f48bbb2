"""The revenue report: movements of each period, and what they lead to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from services.monitoring.domain.movements import SIGNS, Kind
from services.monitoring.domain.rounding import percent, round_half_up

Figure = int | float | None
MOVEMENTS: tuple[Kind, ...] = tuple(SIGNS)


@dataclass(slots=True)
class Sums:
    """Exact sums of what happened in one period and currency."""

    amounts: dict[Kind, Fraction] = field(default_factory=dict)
    churned: int = 0
    """Customers who left."""
    customers: int = 0
    """How the number of paying customers changed."""

    def add(self, kind: Kind, amount: Fraction, customers: int) -> None:
        """Add what happened."""
        self.amounts[kind] = self.amounts.get(kind, Fraction(0)) + amount
        self.customers += customers
        if kind == "churn":
            self.churned -= customers

    def amount(self, kind: Kind) -> Fraction:
        """Return the sum of one kind."""
        return self.amounts.get(kind, Fraction(0))

    @property
    def net(self) -> Fraction:
        """The exact change of monthly recurring revenue."""
        return sum((sign * self.amount(kind) for kind, sign in SIGNS.items()), Fraction(0))


@dataclass(frozen=True, slots=True)
class Standing:
    """What the movements until a moment have led to."""

    mrr: Fraction = Fraction(0)
    active: int = 0
    past_due: int = 0

    def after(self, sums: Sums) -> "Standing":
        """Return the standing after a period."""
        return Standing(
            self.mrr + sums.net,
            self.active + sums.customers,
            self.past_due + int(sums.amount("past_due")),
        )


def rounded_movements(start: Fraction, sums: Sums) -> dict[Kind, int]:
    """Round each movement so that together they lead from the rounded start to the rounded end.

    Half is rounded up. Where the roundings do not add up, the movement changes whose own rounding was the
    largest the other way; a movement of nothing stays nothing.
    """
    exact = {kind: sums.amount(kind) for kind in MOVEMENTS}
    found = {kind: round_half_up(amount) for kind, amount in exact.items()}
    wanted = round_half_up(start + sums.net) - round_half_up(start)
    missing = wanted - sum(SIGNS[kind] * amount for kind, amount in found.items())
    step = 1 if missing > 0 else -1

    def error(kind: Kind) -> Fraction:
        return SIGNS[kind] * step * (exact[kind] - found[kind])

    for _ in range(abs(missing)):
        kind = max((kind for kind in MOVEMENTS if exact[kind]), key=error)
        found[kind] += SIGNS[kind] * step
    return found


def report(start: Standing, sums: Sums) -> Mapping[str, Figure]:
    """Return the figures of one period and currency, by the names of the message `RevenuePeriod`."""
    end = start.after(sums)
    moved = rounded_movements(start.mrr, sums)
    started, converted, lost = (
        int(sums.amount(kind)) for kind in ("trials_started", "trials_converted", "trials_lost")
    )
    kept = start.mrr + sums.amount("expansion") - sums.amount("contraction") - sums.amount("churn")
    return {
        "mrr": round_half_up(end.mrr),
        "arr": round_half_up(end.mrr * 12),
        "arpu": round_half_up(end.mrr / end.active) if end.active else None,
        **{str(kind): amount for kind, amount in moved.items()},
        "net_new_mrr": sum(SIGNS[kind] * amount for kind, amount in moved.items()),
        "active": end.active,
        "trials_started": started,
        "trials_converted": converted,
        "trial_conversion_percent": percent(converted, converted + lost),
        "customer_churn_percent": percent(sums.churned, start.active),
        "net_revenue_retention_percent": percent(kept, start.mrr),
        "collected": int(sums.amount("collected")),
        "refunded": int(sums.amount("refunded")),
        "past_due": end.past_due,
        "recovered": int(sums.amount("recovered")),
    }


def standing_after(periods: Sequence[Sums]) -> Standing:
    """Return what a sequence of periods has led to, from nothing."""
    standing = Standing()
    for sums in periods:
        standing = standing.after(sums)
    return standing
