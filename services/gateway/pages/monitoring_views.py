"""What the operators' pages show of monitoring: figures with sparklines, charts and their texts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from markupsafe import Markup

from services.gateway.pages.charts import Bar, forecast, sparkline, stacked_bars
from services.gateway.pages.i18n import Translations
from tallystick.client import FeedEvent
from tallystick.messages import monitoring as m

ABOVE, BELOW = ("new", "expansion", "reactivation"), ("contraction", "churn")
COUNTED = (("active", "Active"), ("trialing", "Trialing"), ("past_due", "Past due"))
FORECAST_DAYS = 30
"""How far a trend is drawn beyond the last snapshot."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A number of the overview, and how it came to be."""

    name: str
    value: str
    spark: Markup


@dataclass(frozen=True, slots=True)
class RevenueChart:
    """The movements of one currency, as a chart and as a table."""

    currency: str
    chart: Markup
    periods: Sequence[m.RevenuePeriod]


@dataclass(frozen=True, slots=True)
class FeatureView:
    """The use of one feature, with its forecast."""

    code: str
    capacity: m.FeatureCapacity
    trend: m.Trend | None
    chart: Markup
    is_at_limit: bool
    """Whether the trend is at the limit by the newest snapshot, whatever is left of it today."""


@dataclass(frozen=True, slots=True)
class Happened:
    """An event of the feed in one line."""

    at: str
    type: str
    customer: str
    units: str


def figures(snapshots: Sequence[m.Snapshot], translations: Translations) -> list[Figure]:
    """Return recurring revenue, subscriptions and churn of the newest snapshot; `snapshots` oldest first."""
    if not snapshots:
        return []
    newest = snapshots[-1]
    found = [
        Figure(
            f"MRR {currency.upper()}",
            translations.money(amount, currency),
            sparkline([each.mrr.get(currency, 0) for each in snapshots], f"MRR in {currency.upper()} by day"),
        )
        for currency, amount in newest.mrr.items()
    ]
    for status, name in COUNTED:
        values = [each.subscriptions.get(status, 0) for each in snapshots]  # type: ignore[call-overload]
        found.append(Figure(name, translations.number(values[-1]), sparkline(values, f"{name} by day")))
    for currency, share in newest.customer_churn_percent.items():
        churn = [each.customer_churn_percent.get(currency) or 0.0 for each in snapshots]
        name = f"30-day churn {currency.upper()}" if len(newest.mrr) > 1 else "30-day churn"
        found.append(Figure(name, _percent(share), sparkline(churn, f"{name} by day")))
    return found


def revenue_charts(items: Iterable[m.RevenuePeriod], translations: Translations) -> list[RevenueChart]:
    """Return a chart and a table for each currency."""
    by_currency: dict[str, list[m.RevenuePeriod]] = {}
    for item in items:
        by_currency.setdefault(item.currency, []).append(item)
    charts = []
    for currency, periods in by_currency.items():

        def amount(value: float, currency: str = currency) -> str:
            return translations.money(round(value), currency)

        bars = [
            Bar(
                _period_label(period),
                {name: getattr(period, name) for name in ABOVE},
                {name: getattr(period, name) for name in BELOW},
            )
            for period in periods
        ]
        label = (
            f"Movements of monthly recurring revenue in {currency.upper()}; the table below has the figures"
        )
        charts.append(RevenueChart(currency, stacked_bars(bars, label, amount), periods))
    return charts


def feature_views(
    capacity: m.SubscriptionCapacity,
    trends: m.Trends,
    snapshots: Sequence[m.Snapshot],
    translations: Translations,
) -> list[FeatureView]:
    """Return each limit and consumable with its forecast, the fullest first."""
    views = [
        FeatureView(
            code,
            each,
            trends.features.get(code),
            _forecast(code, each, trends.features.get(code), snapshots, translations),
            is_at_limit(trends.features.get(code), snapshots[-1].day if snapshots else None),
        )
        for code, each in capacity.features.items()
    ]
    return sorted(views, key=lambda view: -(view.capacity.utilization_percent or -1))


def is_at_limit(trend: m.Trend | None, newest: date | None) -> bool:
    """Return whether a trend is at the limit by the day of the newest snapshot."""
    met_on = trend.reaches_limit_on if trend is not None else None
    return met_on is not None and newest is not None and met_on <= newest


def _forecast(
    code: str,
    capacity: m.FeatureCapacity,
    trend: m.Trend | None,
    snapshots: Sequence[m.Snapshot],
    translations: Translations,
) -> Markup:
    known = [
        (float(each.day.toordinal()), each.features[code])
        for each in snapshots
        if each.features is not None and code in each.features
    ]
    if len(known) < 2 or trend is None or not (capacity.theoretical_limit or trend.current_value):
        return Markup("")
    points = [(day, float(use.actual)) for day, use in known]
    # The limit that the trend was compared with, not today's.
    limit = float(known[-1][1].theoretical_limit) or None
    line = forecast_line(points, trend, limit)
    ends = (str(snapshots[0].day), str(date.fromordinal(int(line[1][0]))))
    label = f"{code}: units in use by day, the trend dashed, the limit dotted"
    return forecast(points, line, limit, label, lambda value: translations.number(round(value)), ends)


def forecast_line(
    points: Sequence[tuple[float, float]], trend: m.Trend, limit: float | None
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return how a trend goes on from the last point, at most 90 days: it meets the limit on the date given.

    Without such a date it grows as its monthly projection does.
    """
    last_day, last = points[-1]
    met_on = trend.reaches_limit_on
    if met_on is None or limit is None or met_on.toordinal() <= last_day:
        ahead = float(FORECAST_DAYS)
        a_day = (trend.current_value - trend.start_value) / max(last_day - points[0][0], 1)
    else:
        to_limit = met_on.toordinal() - last_day
        ahead = min(to_limit, 3.0 * FORECAST_DAYS)
        a_day = (limit - last) / to_limit
    return (last_day, last), (last_day + ahead, max(0.0, last + a_day * ahead))


def happened(events: Iterable[FeedEvent], translations: Translations) -> list[Happened]:
    """Return events of the feed in lines, newest first."""
    lines = [
        Happened(
            str(event.body.get("occurred_at", ""))[:19].replace("T", " "),
            f"{event.entity}.{event.event}",
            event.customer,
            _units(event, translations),
        )
        for event in events
    ]
    return lines[::-1]


def _units(event: FeedEvent, translations: Translations) -> str:
    """Return how much an event is about: units, seats or money."""
    body: dict[str, Any] = dict(event.body)
    snapshot: dict[str, Any] = dict(event.snapshot)
    entries = body.get("entries")
    if isinstance(entries, list) and entries:
        units = sum(entry.get("quantity", 0) for entry in entries if isinstance(entry, dict))
        return f"{translations.number(units)} {snapshot.get('feature', '')}"
    if event.entity == "invoice":
        return translations.money(int(snapshot.get("total") or 0), str(snapshot.get("currency")))
    if event.entity == "subscription":
        items = snapshot.get("items") or []
        return ", ".join(f"{item.get('quantity')} × {item.get('price')}" for item in items)
    if event.entity == "recharge":
        return f"{translations.number(int(snapshot.get('quantity') or 0))} {snapshot.get('feature', '')}"
    if event.entity == "billing_team":
        return f"{snapshot.get('occupied')} of {snapshot.get('capacity')} seats"
    return ""


def _period_label(period: m.RevenuePeriod) -> str:
    length = (period.end - period.start).days
    return f"{period.start:%b %y}" if length > 7 or period.start.day == 1 else f"{period.start:%d %b}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.2f} %"
