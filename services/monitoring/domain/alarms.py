"""Alarms: rules over measurements, raised once when they begin to hold and cleared once when they end."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Severity = Literal["info", "warning", "critical"]
MetricName = Literal[
    "feature_utilization_percent",
    "dead_letters",
    "outbox_lag_seconds",
    "consumer_lag_messages",
    "unfinished_calls",
    "customer_churn_percent",
    "recharge_failures",
    "stream_full_percent",
    "database_connections_percent",
]
About = str | None
"""The feature, service, stream, consumer or currency that a measurement is of; None: the installation."""
Measurements = Mapping[MetricName, Mapping[About, float]]
"""What could be measured: a metric that is absent is not known now."""


@dataclass(frozen=True, slots=True)
class AlarmRule:
    """An alarm is raised where a metric is at or above `at_least`, and cleared where it is below."""

    name: str
    metric: MetricName
    at_least: float
    severity: Severity
    title: str
    action: str


@dataclass(frozen=True, slots=True)
class Change:
    """An alarm to raise or to clear, with the value that was measured."""

    kind: Literal["raise", "clear"]
    rule: str
    about: About
    value: float


def changes(
    rules: Sequence[AlarmRule], raised: Mapping[tuple[str, About], float], measured: Measurements
) -> Iterator[Change]:
    """Yield what changes between the raised alarms and the measurements.

    An alarm whose metric is not known now stays as it is. An alarm without a rule is cleared, and so is one
    about something that is not measured any more, such as a feature that was removed from the catalog.
    """
    by_name = {rule.name: rule for rule in rules}
    for (name, about), value in raised.items():
        rule = by_name.get(name)
        if rule is None:
            yield Change("clear", name, about, value)
        elif rule.metric in measured:
            now = measured[rule.metric].get(about, 0.0)
            if now < rule.at_least:
                yield Change("clear", name, about, now)
    for rule in rules:
        for about, value in measured.get(rule.metric, {}).items():
            if value >= rule.at_least and (rule.name, about) not in raised:
                yield Change("raise", rule.name, about, value)


def worst(severities: Sequence[Severity], *, all_ready: bool) -> Literal["healthy", "degraded", "critical"]:
    """Return the status of the whole: critical where a service is not ready or an alarm says so."""
    if not all_ready or "critical" in severities:
        return "critical"
    return "degraded" if "warning" in severities else "healthy"
