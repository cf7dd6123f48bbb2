"""Capacity, recommendations and alarms: thresholds by hand."""

from datetime import date, timedelta
from pathlib import Path
from typing import get_args

import pytest

from services.monitoring.domain.alarms import (
    About,
    AlarmRule,
    Change,
    Measurements,
    MetricName,
    changes,
    worst,
)
from services.monitoring.domain.capacity import Use, current_tier, uses
from services.monitoring.domain.recommendations import Advice, RaisedAlarm, recommend
from services.monitoring.domain.trends import Growth
from services.monitoring.settings import MonitoringSettings, load_alarm_rules, load_tiers

TODAY = date(2026, 2, 1)
FIELDS = MonitoringSettings.model_fields
TIERS = load_tiers(FIELDS["capacity_file"].default)
RULES = load_alarm_rules(FIELDS["alarms_file"].default)


def advise(
    uses: dict[str, Use] | None = None,
    growths: dict[str, Growth | None] | None = None,
    customers: int = 0,
    churn: dict[str, float | None] | None = None,
    mrr: dict[str, Growth | None] | None = None,
    alarms: list[RaisedAlarm] | None = None,
) -> list[Advice]:
    return recommend(uses or {}, growths or {}, TIERS, customers, churn or {}, mrr or {}, alarms or [], TODAY)


def meets_on(day: date | None) -> Growth:
    return Growth(1, 2, 1, 100.0, 1.0, 3, day)


def test_125_000_of_500_000() -> None:
    use = Use("limit", 125_000, 500_000)
    assert (use.utilization_percent, use.headroom) == (25.0, 375_000)
    assert Use("limit", 320, 1500).utilization_percent == 21.3


def test_nothing_with_a_limit_has_no_utilization() -> None:
    assert Use("consumable", 0, 0, unlimited_actual=12).utilization_percent is None


def test_totals_become_uses_with_the_subscriptions_without_a_limit() -> None:
    total: dict[str, int | str] = {
        "kind": "limit",
        "actual": 9,
        "theoretical_limit": 13,
        "unlimited_actual": 4,
    }
    assert uses({"members": total}, {"members": 2}) == {"members": Use("limit", 9, 13, 4, 2)}


def test_an_empty_system_needs_nothing() -> None:
    assert advise() == []


@pytest.mark.parametrize(
    ("actual", "day", "severity"),
    [
        (79, None, None),
        (80, None, "warning"),
        (94, TODAY + timedelta(days=31), "warning"),
        (95, None, "critical"),
        (50, TODAY + timedelta(days=30), "critical"),
        (50, TODAY + timedelta(days=31), None),
    ],
)
def test_capacity_warns_from_80_and_is_critical_from_95_or_within_30_days(
    actual: int, day: date | None, severity: str | None
) -> None:
    found = advise({"hours": Use("consumable", actual, 100)}, {"hours": meets_on(day)})
    assert [advice.severity for advice in found] == ([severity] if severity else [])
    assert all(advice.about == "hours" and advice.category == "capacity" for advice in found)


@pytest.mark.parametrize(
    ("actual", "title", "description"),
    [
        (99, "hours: capacity is approaching its limit", "and the trend of 30 days meets the limit on 2026-"),
        (
            100,
            "hours: capacity is at its limit",
            "Currently at 100.0 % of the theoretical capacity of hours.",
        ),
        (
            127,
            "hours: capacity is over its limit",
            "Currently at 127.0 % of the theoretical capacity of hours.",
        ),
    ],
)
def test_what_is_at_its_limit_does_not_approach_it(actual: int, title: str, description: str) -> None:
    (found,) = advise({"hours": Use("consumable", actual, 100)}, {"hours": meets_on(TODAY)})
    assert found.title == title
    assert description in found.description


@pytest.mark.parametrize(
    ("customers", "name", "trigger"),
    [
        (1, "Starter", 50),
        (49, "Starter", 50),
        (50, "Small", 100),
        (150, "Medium", 300),
        (5000, "Enterprise", None),
    ],
)
def test_the_infrastructure_table_says_where_we_are(customers: int, name: str, trigger: int | None) -> None:
    (advice,) = advise(customers=customers)
    assert (advice.title, advice.severity) == (f"Current tier: {name}", "info")
    assert (f"Next upgrade trigger: {trigger} customers." in advice.description) == (trigger is not None)
    tier = current_tier(TIERS, customers)
    assert tier is not None
    assert tier.customers_to == trigger


def test_churn_a_shrinking_business_and_alarms_are_told_the_worst_first() -> None:
    shrinks = Growth(200, 150, -50, -25.0, -1.0, 100)
    alarm = RaisedAlarm("critical", "Committed changes are not published", "Look at NATS.", "seats")
    found = advise(churn={"eur": 5.0, "usd": 4.9, "jpy": None}, mrr={"eur": shrinks}, alarms=[alarm])
    assert [(advice.category, advice.severity, advice.about) for advice in found] == [
        ("reliability", "critical", "seats"),
        ("revenue", "warning", "eur"),
        ("revenue", "info", "eur"),
    ]


Raised = dict[tuple[str, About], float]
RULE = AlarmRule("capacity_warning", "feature_utilization_percent", 80, "warning", "", "")


def measured(value: float | None) -> Measurements:
    return {"feature_utilization_percent": {} if value is None else {"hours": value}}


def test_an_alarm_is_raised_once_and_cleared_once() -> None:
    assert list(changes([RULE], {}, measured(79.9))) == []
    assert list(changes([RULE], {}, measured(80))) == [Change("raise", "capacity_warning", "hours", 80)]
    raised: Raised = {("capacity_warning", "hours"): 80.0}
    assert list(changes([RULE], raised, measured(99))) == []
    assert list(changes([RULE], raised, measured(79))) == [Change("clear", "capacity_warning", "hours", 79)]


def test_what_cannot_be_measured_stays_and_what_is_gone_is_cleared() -> None:
    raised: Raised = {("capacity_warning", "hours"): 80.0}
    assert list(changes([RULE], raised, {})) == []
    removed = Change("clear", "capacity_warning", "hours", 0)
    assert list(changes([RULE], raised, measured(None))) == [removed], "removed from the catalog"
    assert list(changes([], raised, measured(99))) == [Change("clear", "capacity_warning", "hours", 80)]


def test_the_deployed_rules_ask_for_metrics_that_exist() -> None:
    assert {rule.metric for rule in RULES} == set(get_args(MetricName)), "each metric has a rule"
    assert all(rule.title and rule.action for rule in RULES)
    by_name = {rule.name: rule for rule in RULES}
    assert (by_name["capacity_warning"].at_least, by_name["capacity_critical"].at_least) == (80, 95)


def test_a_rule_with_an_unknown_metric_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "alarms.yaml"
    file.write_text("alarms: {odd: {metric: moods, at_least: 1, severity: info, title: a, action: b}}")
    with pytest.raises(ValueError, match="metric"):
        load_alarm_rules(file)


def test_the_status_is_that_of_the_worst() -> None:
    assert worst([], all_ready=True) == "healthy"
    assert worst(["info", "warning"], all_ready=True) == "degraded"
    assert worst(["warning", "critical"], all_ready=True) == "critical"
    assert worst([], all_ready=False) == "critical"


def test_a_recommendation_names_the_days_that_its_trend_is_of() -> None:
    [advice] = advise({"members": Use("limit", 96, 100)}, {"members": meets_on(date(2026, 2, 8))})
    assert advice.description == (
        "Currently at 96.0 % of the theoretical capacity of members, "
        "and the trend of 30 days meets the limit on 2026-02-08."
    )
