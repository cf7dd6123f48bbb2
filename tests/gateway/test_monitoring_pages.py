"""The pages of figures, without a script: for operators, and the history of a customer's usage."""

import re
from datetime import date

import pytest

from services.gateway.pages.monitoring_views import forecast_line, is_at_limit
from tallystick.messages import consumables, monitoring
from tallystick.messages.base import Customer
from tests.support.gateway import ADMIN, GatewaySystem
from tests.support.page_visitor import Visitor, visiting
from tests.support.shop import Shop, fresh_id
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(180)
CHART = re.compile(r'<svg class="chart"[^>]*role="img" aria-label="[^"]+"')


async def shows(visitor: Visitor, path: str, *texts: str) -> str:
    """Wait until a page has all of these texts; return it."""

    async def shown() -> str:
        page = (await visitor.http.get(path)).raise_for_status().text
        return page if all(text in page for text in texts) else ""

    found: str = await eventually(shown)
    return found


async def test_operators_see_revenue_capacity_and_what_happened(gateway: GatewaySystem, shop: Shop) -> None:
    await shop.register()
    await shop.buys("professional_monthly")
    operator = Customer(type="user", id=fresh_id("operator"))
    async with visiting(gateway, operator, ADMIN) as visitor:
        revenue = await shows(visitor, "/admin/revenue", "Monthly recurring revenue in EUR", "CSV")
        assert CHART.search(revenue), "a chart with a label, and a table with the same figures"
        assert '<td data-label="MRR"' in revenue
        table = await visitor.http.get("/admin/revenue.csv?by=week")
        assert table.headers["content-type"] == "text/csv; charset=utf-8"
        assert table.text.startswith("start,end,currency,mrr,")
        wrong = await visitor.http.get("/admin/revenue?since=yesterday&by=year")
        assert "the last year is shown" in wrong.text
        fields = await visitor.form("/admin/capacity", "/admin/capacity/snapshot")
        done = await visitor.send("/admin/capacity/snapshot", fields)
        assert done.headers["location"] == "/admin/capacity?done=captured"
        capacity = await shows(visitor, done.headers["location"], "snapshot was captured", "professional")
        assert re.search(r"Current tier: \w+", capacity)
        overview = await shows(visitor, "/admin", "MRR EUR", "The last 20 events", "Health", shop.acme.token)
        assert re.search(r"Captured <time [^>]+>20\d\d-\d\d-\d\d \d\d:\d\d</time>", overview), (
            "figures say of when"
        )


def a_trend(met_on: date | None) -> monitoring.Trend:
    """A trend from 1 to 9 that meets its limit on a day."""
    return monitoring.Trend(
        start_value=1,
        current_value=9,
        change=8,
        growth_rate_percent=800.0,
        daily_growth_rate=100.0,
        monthly_projection=None,
        reaches_limit_on=met_on,
        reaches_limit_between=None,
    )


@pytest.mark.parametrize(("met_on", "is_met"), [(5, True), (6, True), (7, False), (None, False)])
def test_a_trend_can_be_at_a_limit_that_still_has_room(met_on: int | None, is_met: bool) -> None:
    # The newest snapshot is of the 6th.
    trend = a_trend(date(2026, 2, met_on) if met_on else None)
    newest = date(2026, 2, 6)
    assert is_at_limit(trend, newest) is is_met
    assert not is_at_limit(None, newest) and not is_at_limit(trend, None)


@pytest.mark.parametrize(
    ("met_in", "days", "value"),
    [
        (40, 40, 25.0),  # the limit, on the date that is written beside it
        (160, 90, 18.0),  # 9 + 16 ÷ 160 × 90: on the way there
        (None, 30, 39.0),  # 9 + 8 ÷ 8 × 30, as the monthly projection
        (0, 30, 39.0),
    ],
)
def test_the_line_of_a_forecast_meets_the_limit_on_its_date(
    met_in: int | None, days: int, value: float
) -> None:
    today = date(2026, 2, 9).toordinal()
    trend = a_trend(date.fromordinal(today + met_in) if met_in is not None else None)
    begin, end = forecast_line([(today - 8.0, 1.0), (float(today), 9.0)], trend, 25.0)
    assert (begin, end) == ((today, 9.0), (today + days, value))


async def test_customers_see_their_usage_and_what_they_spent(gateway: GatewaySystem, shop: Shop) -> None:
    await shop.register()
    await shop.buys("professional_monthly")

    async def used() -> bool:
        command = consumables.Consume(
            command_id=fresh_id("use"), consumer=shop.acme, feature="orders", quantity=40
        )
        return (await shop.billing.outcome(command)).status == "succeeded"

    await eventually(used)
    async with visiting(gateway, shop.acme) as visitor:
        page = await shows(visitor, "/billing", "The last 30 days", "Spending", "€99.00")
        assert CHART.search(page)
        assert "At this pace until" in page
        assert re.search(r'<time datetime="20\d\d-\d\d">[A-Z][a-z]+ 20\d\d</time>', page)
        german = await visitor.http.get("/billing", headers={"Accept-Language": "de"})
        assert "In diesem Tempo bis" in german.text
