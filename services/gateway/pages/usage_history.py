"""The customer's last 30 days of usage, how long the units last at this pace, and what was spent by month."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from markupsafe import Markup

from services.gateway.pages.billing_data import BillingPageData
from services.gateway.pages.billing_parts import none_if_unavailable
from services.gateway.pages.charts import Bar, stacked_bars
from services.gateway.pages.i18n import Translations
from services.gateway.problem_details import ProblemError
from services.gateway.service_client import ServiceClient
from tallystick.messages import consumables, monitoring

DAYS = 30
MONTHS = 12
FEATURES_MAX = 6
"""Charts on one page; a catalog has two or three consumables."""
PACE_MAX_DAYS = 366
"""Units that last longer than a year at this pace are not about to run out."""


@dataclass(frozen=True, slots=True)
class UsageHistory:
    """The usage of one feature by day, oldest first, and the units that are left."""

    feature: str
    days: Sequence[tuple[date, int]]
    remaining: int | None
    ends: date | None = None
    """When the last of the units expires; None: never."""


@dataclass(frozen=True, slots=True)
class UsageView:
    """The same as a chart with its texts."""

    feature: str
    name: str
    total: str
    pace: str | None
    chart: Markup
    days: Sequence[tuple[str, str]]
    """The days with usage, for readers of the table."""


@dataclass(frozen=True, slots=True)
class SpendingView:
    """What was spent in one month."""

    month: str
    """For programs, such as `2026-11`."""
    name: str
    amount: str
    recharges: str | None


async def load_usage(services: ServiceClient, data: BillingPageData, now: datetime) -> list[UsageHistory]:
    """Return the usage of the customer's consumables; none for a guest, or while it is unavailable."""
    if data.is_a_guest:
        return []
    today = now.astimezone(UTC).date()
    first = today - timedelta(days=DAYS - 1)
    left: dict[str, int | None] = {}
    ends: dict[str, set[date | None]] = defaultdict(set)
    for each in data.balances:
        balance = each.snapshot
        if balance.kind == "consumable":
            before = left.get(balance.feature, 0)
            unlimited = before is None or balance.remaining is None
            left[balance.feature] = None if unlimited else (before or 0) + (balance.remaining or 0)
            ends[balance.feature] |= {grant.expires_at and grant.expires_at.date() for grant in each.grants}
    features = sorted(left)[:FEATURES_MAX]
    questions = [
        consumables.Usage(
            customer=data.caller.customer,
            feature=feature,
            since=datetime.combine(first, time(tzinfo=UTC)),
            until=now,
            by="day",
        )
        for feature in features
    ]
    answers = await asyncio.gather(*(_optional(services, question) for question in questions))
    found = []
    for feature, answer in zip(features, answers, strict=True):
        if answer is not None and answer.total:
            used = {bucket.start.date(): bucket.quantity for bucket in answer.items}
            days = [(first + timedelta(days=number), 0) for number in range(DAYS)]
            by_day = [(day, used.get(day, 0)) for day, _ in days]
            found.append(UsageHistory(feature, by_day, left[feature], _latest(ends[feature])))
    return found


async def load_spending(
    services: ServiceClient, data: BillingPageData, now: datetime
) -> list[monitoring.SpendingPeriod]:
    """Return what the customer paid by month, newest first; none for who may not change the billing."""
    if data.is_a_guest or not data.manages_team:
        return []
    since = (now - timedelta(days=31 * (MONTHS - 1))).replace(day=1)
    question = monitoring.GetSpending(customer=data.caller.customer, since=since, until=now, by="month")
    try:
        found = await none_if_unavailable(services.request(question))
    except ProblemError:
        return []
    return list(reversed(found.items)) if found is not None else []


async def _optional(services: ServiceClient, question: consumables.Usage) -> consumables.UsageReport | None:
    try:
        return await none_if_unavailable(services.request(question))
    except ProblemError:
        return None


def _latest(ends: set[date | None]) -> date | None:
    dated = [end for end in ends if end is not None]
    return max(dated) if dated and None not in ends else None


def lasts_until(history: UsageHistory, today: date) -> date | None:
    """Return the day on which the units are used up at the pace of these days.

    None where they are unlimited, last for more than a year, or expire before. The pace counts from the
    first day of use.
    """
    used = [quantity for _, quantity in history.days]
    since = next((number for number, quantity in enumerate(used) if quantity), None)
    if history.remaining is None or since is None:
        return None
    # Whole days that the units last: remaining ÷ (total ÷ days), without rounding up.
    days = history.remaining * (len(used) - since) // sum(used)
    if days > PACE_MAX_DAYS:
        return None
    until = today + timedelta(days=days)
    return until if history.ends is None or until < history.ends else None


def usage_views(
    histories: Sequence[UsageHistory], data: BillingPageData, translations: Translations, today: date
) -> list[UsageView]:
    """Return a chart for each feature that was used."""
    views = []
    for history in histories:
        name, until = data.catalog.feature_name(history.feature), lasts_until(history, today)
        dated = [(translations.date(_noon(day)), quantity) for day, quantity in history.days]
        total = translations.number(sum(quantity for _, quantity in dated))
        bars = [
            Bar(translations.short_day(_noon(day)), {"used": quantity}, {}) for day, quantity in history.days
        ]
        label = translations.translate("history.chart", name=name)
        views.append(
            UsageView(
                feature=history.feature,
                name=name,
                total=translations.translate("history.total", total=total),
                pace=translations.translate("history.pace", date=translations.date(_noon(until)))
                if until
                else None,
                chart=stacked_bars(bars, label, lambda value: translations.number(round(value))),
                days=[(day, translations.number(quantity)) for day, quantity in dated if quantity],
            )
        )
    return views


def spending_views(
    periods: Sequence[monitoring.SpendingPeriod], translations: Translations
) -> list[SpendingView]:
    """Return what was spent by month, with the part that bought units."""
    return [
        SpendingView(
            month=f"{period.start:%Y-%m}",
            name=translations.month(_noon(period.start)),
            amount=translations.money(period.net, period.currency),
            recharges=translations.translate(
                "history.recharges", amount=translations.money(period.recharges, period.currency)
            )
            if period.recharges
            else None,
        )
        for period in periods
    ]


def _noon(day: date) -> datetime:
    return datetime.combine(day, time(12, tzinfo=UTC))
