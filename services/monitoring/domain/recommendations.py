"""Recommendations: what the figures suggest to do, in plain sentences."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from services.monitoring.domain.capacity import Tier, Use
from services.monitoring.domain.trends import Growth

Severity = Literal["info", "warning", "critical"]
Category = Literal["capacity", "infrastructure", "revenue", "reliability"]
TREND_DAYS = 30
"""The days that trends in recommendations are of."""
WARNING_PERCENT = 80.0
CRITICAL_PERCENT = 95.0
FULL_PERCENT = 100.0
CRITICAL_WITHIN = timedelta(days=30)
"""A limit that is met within this time is critical, however much is left."""
CHURN_WARNING_PERCENT = 5.0
"""Customers lost within 30 days from which churn is worth a look; about half of them a year."""
SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "info")


@dataclass(frozen=True, slots=True)
class Advice:
    """One recommendation."""

    category: Category
    severity: Severity
    title: str
    description: str
    action: str
    about: str | None = None


@dataclass(frozen=True, slots=True)
class RaisedAlarm:
    """An alarm that is raised: reliability needs somebody."""

    severity: Severity
    title: str
    action: str
    about: str | None


def recommend(
    uses: Mapping[str, Use],
    growths: Mapping[str, Growth | None],
    tiers: Sequence[Tier],
    customers: int,
    churn_percent: Mapping[str, float | None],
    mrr: Mapping[str, Growth | None],
    alarms: Sequence[RaisedAlarm],
    today: date,
) -> list[Advice]:
    """Return what to do, the most severe first."""
    found = [
        *(advice for code, use in uses.items() for advice in _capacity(code, use, growths.get(code), today)),
        *_infrastructure(tiers, customers),
        *_revenue(churn_percent, mrr),
        *(
            Advice(
                "reliability", alarm.severity, alarm.title, "This alarm is raised.", alarm.action, alarm.about
            )
            for alarm in alarms
        ),
    ]
    return sorted(found, key=lambda advice: SEVERITIES.index(advice.severity))


def _capacity(code: str, use: Use, trend: Growth | None, today: date) -> Iterator[Advice]:
    utilization = use.utilization_percent
    if utilization is None:
        return
    met_on = trend.reaches_limit_on if trend is not None else None
    is_soon = met_on is not None and met_on <= today + CRITICAL_WITHIN
    if utilization < WARNING_PERCENT and not is_soon:
        return
    is_critical = utilization >= CRITICAL_PERCENT or is_soon
    is_met = utilization >= FULL_PERCENT
    tells_when = met_on is not None and not is_met
    soon = f", and the trend of {TREND_DAYS} days meets the limit on {met_on}" if tells_when else ""
    where = "over" if utilization > FULL_PERCENT else "at" if is_met else "approaching"
    yield Advice(
        "capacity",
        "critical" if is_critical else "warning",
        f"{code}: capacity is {where} its limit",
        f"Currently at {utilization} % of the theoretical capacity of {code}{soon}.",
        "Offer its customers a larger plan, or add capacity.",
        code,
    )


def _infrastructure(tiers: Sequence[Tier], customers: int) -> Iterator[Advice]:
    reached = [tier for tier in tiers if tier.customers_from <= customers]
    if not customers or not reached:
        return
    tier = reached[-1]
    machines = f"{tier.vcpu} vCPU, {tier.ram} RAM, {tier.storage} storage, {tier.database}"
    trigger = tier.customers_to
    yield Advice(
        "infrastructure",
        "info",
        f"Current tier: {tier.name}",
        f"{customers} customers fit {machines}, {tier.monthly_cost} a month."
        + (f" Next upgrade trigger: {trigger} customers." if trigger is not None else ""),
        "Monitor growth and plan the next step." if trigger is not None else "Scale by replicas and shards.",
    )


def _revenue(churn: Mapping[str, float | None], mrr: Mapping[str, Growth | None]) -> Iterator[Advice]:
    for currency, share in churn.items():
        if share is not None and share >= CHURN_WARNING_PERCENT:
            yield Advice(
                "revenue",
                "warning",
                "Many customers leave",
                f"{share} % of the customers who paid in {currency.upper()} left within 30 days.",
                "Ask those who left, and look at failed payments: a card that expired is not a decision.",
                currency,
            )
    for currency, trend in mrr.items():
        if trend is not None and trend.change < 0:
            yield Advice(
                "revenue",
                "info",
                "Recurring revenue shrinks",
                f"Monthly recurring revenue in {currency.upper()} changed by "
                f"{trend.growth_rate_percent} % over the last snapshots.",
                "See contraction and churn in the revenue report.",
                currency,
            )
