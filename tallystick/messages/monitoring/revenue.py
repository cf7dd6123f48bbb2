"""Revenue of the installation, by period and currency."""

from pydantic import Field, model_validator

from tallystick.messages.base import Amount, Count, Currency, Instant, Question, TolerantModel
from tallystick.messages.monitoring.snapshots import Day
from tallystick.messages.monitoring.types import PERIODS_MAX, SERVICE, By, Percent, days_between


class RevenuePeriod(TolerantModel):
    """Revenue of one period in one currency; amounts are in its minor unit.

    `mrr` is always that of the period before + `new` + `expansion` + `reactivation` − `contraction` −
    `churn`.
    """

    start: Day = Field(description="First day, UTC.")
    end: Day = Field(description="Day after the last one.")
    currency: Currency
    mrr: Amount = Field(
        description="Monthly recurring revenue at the end: discounted prices at their quantities, without "
        "tax; trials, paused and free subscriptions count 0, past due ones until access is restricted."
    )
    arr: Amount = Field(description="Twelve times the exact `mrr`.")
    arpu: Amount | None = Field(description="`mrr` for each paying customer; null without one.")
    new: Amount = Field(description="From customers who never paid before.")
    expansion: Amount = Field(description="From customers who pay more than before.")
    contraction: Amount = Field(description="From customers who pay less, or are paused or restricted.")
    churn: Amount = Field(description="From customers who have nothing left that they pay for.")
    reactivation: Amount = Field(description="From customers who pay again.")
    net_new_mrr: Amount = Field(description="Sum of the movements.")
    active: Count = Field(description="Paying customers at the end.")
    trials_started: Count
    trials_converted: Count = Field(description="Trials after which the subscription became active.")
    trial_conversion_percent: Percent | None = Field(
        description="Share of converted trials among those that ended in the period; null if none ended."
    )
    customer_churn_percent: Percent | None = Field(
        description="Share of the paying customers at the start who left; null if there were none."
    )
    net_revenue_retention_percent: Percent | None = Field(
        description="`mrr` at the start, with expansion and without contraction and churn, in percent of "
        "itself; null if there was none."
    )
    collected: Amount = Field(description="Paid on invoices, tax included.")
    refunded: Amount = Field(description="Refunded of paid invoices, and lost in disputes.")
    past_due: Amount = Field(description="Owed at the end on invoices whose payment has failed.")
    recovered: Amount = Field(description="Paid on invoices whose payment had failed.")


class Revenue(TolerantModel):
    """Answer to `get_revenue`."""

    items: list[RevenuePeriod] = Field(
        description="By period, and in each by currency: every currency with revenue until then."
    )


class GetRevenue(Question[Revenue], service=SERVICE):
    """Get the revenue of periods: UTC days, weeks from Monday, or calendar months.

    The first and the last period are cut where `since` and `until` lie within them.
    """

    since: Instant = Field(description="Moment on the first day.")
    until: Instant = Field(description="End; its day is included unless it is midnight.")
    by: By = "month"

    @model_validator(mode="after")
    def _is_a_span(self) -> "GetRevenue":
        if self.until <= self.since:
            raise ValueError("until must be after since")
        if days_between(self.since, self.until) > PERIODS_MAX[self.by]:
            raise ValueError(f"at most {PERIODS_MAX[self.by]} days by {self.by}")
        return self
