"""Capacity against use, growth trends, and recommendations."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from tallystick.messages.base import Amount, Count, Currency, Instant, Question, TolerantModel
from tallystick.messages.monitoring.snapshots import Day, ResourceReading, SeatCounts
from tallystick.messages.monitoring.types import SERVICE, Percent

Category = Literal["capacity", "infrastructure", "revenue", "reliability"]
Severity = Literal["info", "warning", "critical"]


class FeatureCapacity(TolerantModel):
    """Use of one limit or consumable against what was sold."""

    kind: Literal["limit", "consumable"]
    actual: Count = Field(
        description="Units in use, or used in the running periods, of accounts with a limit."
    )
    theoretical_limit: Count = Field(description="What these accounts may use together.")
    unlimited_subscriptions: Count = Field(
        description="Running subscriptions that include it without a limit."
    )
    unlimited_actual: Count = Field(description="Units in use, or used, of accounts without a limit.")
    utilization_percent: Percent | None = Field(description="Null: no account has a limit.")
    headroom: Amount = Field(
        description="`theoretical_limit` − `actual`; negative after limits were lowered."
    )


class SubscriptionCapacity(TolerantModel):
    """Answer to `get_subscription_capacity`."""

    total_subscriptions: Count = Field(description="Running subscriptions, without those of add-ons.")
    tier_distribution: dict[str, Count] = Field(description="These by product code.")
    features: dict[str, FeatureCapacity] = Field(description="Every limit and consumable, by code.")


class InfrastructureTier(TolerantModel):
    """A row of `deploy/capacity.yaml`: the machines for so many customers."""

    name: str
    customers_from: Count
    customers_to: Count | None = Field(description="Number at which the next row begins; null: the last row.")
    vcpu: str
    ram: str
    storage: str
    database: str
    monthly_cost: str


class Infrastructure(TolerantModel):
    """The row for the present number of customers, and what comes next."""

    current: InfrastructureTier
    next_trigger: Count | None = Field(description="Number of customers at which the next row begins.")


class Capacity(TolerantModel):
    """Answer to `get_capacity`."""

    captured_at: Instant
    customers: Count
    subscriptions: SubscriptionCapacity
    seats: SeatCounts
    seat_utilization_percent: Percent | None
    resources: dict[str, ResourceReading]
    infrastructure: Infrastructure | None


class Trend(TolerantModel):
    """Growth of one figure over the snapshots of a span of days."""

    start_value: float | int
    current_value: float | int
    change: float | int
    growth_rate_percent: Percent | None = Field(description="Null: it started at 0.")
    daily_growth_rate: Percent | None = Field(description="Percent of the start a day.")
    monthly_projection: Amount | None = Field(
        description="Value in 30 days if it goes on growing by the same amount a day."
    )
    reaches_limit_on: Day | None = Field(
        description="Day on which the trend (Theil–Sen) meets the limit; null: no limit, or no growth."
    )
    reaches_limit_between: list[date | None] | None = Field(
        description="80 % interval of that day: the earliest and the latest, which may be never (null)."
    )


class Trends(TolerantModel):
    """Answer to `get_trends`; a figure with fewer than two snapshots is null."""

    days: Count
    snapshots_available: Count
    customers: Trend | None
    subscriptions: Trend | None
    seats: Trend | None
    mrr: dict[Currency, Trend | None] = Field(description="By currency.")
    features: dict[str, Trend | None] = Field(description="By feature code.")
    resources: dict[str, Trend | None] = Field(description="By code of the resource.")


class Recommendation(TolerantModel):
    """Something an operator may want to do."""

    category: Category
    severity: Severity
    title: str
    description: str
    action: str
    about: str | None = Field(description="Code of the feature or resource, currency, service or consumer.")


class Recommendations(TolerantModel):
    """Answer to `get_recommendations`, the most severe first."""

    items: list[Recommendation]


class GetCapacity(Question[Capacity], service=SERVICE):
    """Get what is sold, used and stored now, and the machines that fit it."""


class GetSubscriptionCapacity(Question[SubscriptionCapacity], service=SERVICE):
    """Get the use of every limit and consumable against what was sold."""


class GetTrends(Question[Trends], service=SERVICE):
    """Get the growth over the snapshots of the last days."""

    days: Annotated[int, Field(ge=1, le=400)] = Field(default=30, description="Length of the span.")


class GetRecommendations(Question[Recommendations], service=SERVICE):
    """Get what the figures suggest to do."""
