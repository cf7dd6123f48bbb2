"""The pages of figures, without a script: for operators, and the history of a customer's usage."""

import re

import pytest

from tallystick.messages import consumables
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
        await shows(visitor, "/admin", "MRR EUR", "The last 20 events", "Health", shop.acme.token)


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
        german = await visitor.http.get("/billing", headers={"Accept-Language": "de"})
        assert "In diesem Tempo bis" in german.text
