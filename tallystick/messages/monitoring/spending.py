"""Spending of a customer."""

from pydantic import Field, model_validator

from tallystick.messages.base import Amount, Count, Currency, Customer, Instant, Question, TolerantModel
from tallystick.messages.monitoring.snapshots import Day
from tallystick.messages.monitoring.types import PERIODS_MAX, SERVICE, By, days_between


class SpendingPeriod(TolerantModel):
    """What a customer paid in one period and currency, in its minor unit."""

    start: Day
    end: Day = Field(description="Day after the last one.")
    currency: Currency
    paid: Amount = Field(description="Paid on invoices, tax included.")
    refunded: Amount = Field(description="Refunded of it, and taken back by the customer's bank.")
    net: Amount = Field(description="`paid` − `refunded`.")
    recharges: Amount = Field(description="Part of `paid` that bought units.")
    invoices: Count = Field(description="Number of invoices paid.")


class Spending(TolerantModel):
    """Answer to `get_spending`: periods without payments are left out."""

    items: list[SpendingPeriod]


class GetSpending(Question[Spending], service=SERVICE):
    """Get what a customer paid by UTC day, week or month."""

    customer: Customer
    since: Instant
    until: Instant
    by: By = "month"

    @model_validator(mode="after")
    def _is_a_span(self) -> "GetSpending":
        if self.until <= self.since:
            raise ValueError("until must be after since")
        if days_between(self.since, self.until) > PERIODS_MAX[self.by]:
            raise ValueError(f"at most {PERIODS_MAX[self.by]} days by {self.by}")
        return self
