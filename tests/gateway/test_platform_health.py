"""Health, capacity, trends, recommendations, revenue and spending over HTTP, in front of the whole system."""

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.gateway import ADMIN, READ, GatewaySystem
from tests.support.shop import Shop
from tests.support.waiting import eventually

HEALTH = "/api/v1/admin/platform-health"
OPERATOR = "organization_operations"
NOW = datetime.now(UTC)
SPAN = {
    "since": f"{NOW - timedelta(days=1):%Y-%m-%dT00:00:00Z}",
    "until": f"{NOW + timedelta(days=1):%Y-%m-%dT00:00:00Z}",
}

pytestmark = pytest.mark.timeout(180)


async def test_a_purchase_is_revenue_a_snapshot_and_spending(gateway: GatewaySystem, shop: Shop) -> None:
    async with gateway.http(OPERATOR, ADMIN) as http:

        async def mrr() -> int:
            items = (await http.get("/api/v1/admin/revenue", params=SPAN)).json()["items"]
            return next((item["mrr"] for item in reversed(items) if item["currency"] == "eur"), 0)

        before = await mrr()
        await shop.register()
        await shop.buys("professional_monthly")

        async def counted() -> bool:
            return await mrr() == before + 9900

        await eventually(counted)
        captured = await http.post(f"{HEALTH}/snapshot")
        assert captured.status_code == 200, captured.text
        assert captured.json()["snapshot"]["mrr"]["eur"] >= 9900
        assert captured.json()["snapshot"]["features"] is not None
        table = await http.get("/api/v1/admin/revenue", params=SPAN, headers={"Accept": "text/csv"})
        rows = list(csv.DictReader(io.StringIO(table.text)))
        assert table.headers["content-type"] == "text/csv; charset=utf-8"
        assert any(row["currency"] == "eur" and int(row["mrr"]) >= 9900 for row in rows)
    async with gateway.http(shop.acme, READ) as http:

        async def paid() -> list[Any]:
            found: list[Any] = (await http.get("/api/v1/billing/spending", params=SPAN)).json()["items"]
            return found

        (spent,) = await eventually(paid)
        assert (spent["currency"], spent["paid"], spent["invoices"]) == ("eur", 9900, 1)


async def test_operators_see_health_capacity_trends_and_recommendations(
    gateway: GatewaySystem, shop: Shop
) -> None:
    await shop.register()
    async with gateway.http(OPERATOR, ADMIN) as http:
        health = (await http.get(f"{HEALTH}/health")).json()
        services = {service["service"]: service["ready"] for service in health["services"]}
        assert services["subscriptions"] and services["consumables"] and services["monitoring"]

        async def caught_up() -> bool:
            return bool((await http.get(f"{HEALTH}/health")).json()["followed"]["caught_up"])

        await eventually(caught_up)
        capacity = (await http.get(f"{HEALTH}/capacity")).json()
        assert capacity["customers"] >= 1
        assert capacity["infrastructure"]["next_trigger"]
        direct = (await http.get(f"{HEALTH}/subscription-capacity")).json()
        assert "mentorship_hours" in direct["features"]
        assert (await http.get(f"{HEALTH}/trends", params={"days": 7})).json()["days"] == 7
        assert (await http.get(f"{HEALTH}/trends", params={"days": 401})).status_code == 400
        advice = (await http.get(f"{HEALTH}/recommendations")).json()["items"]
        assert any(each["category"] == "infrastructure" for each in advice)


async def test_a_span_that_cannot_be_reported_is_refused(gateway: GatewaySystem, shop: Shop) -> None:
    backwards = {"since": SPAN["until"], "until": SPAN["since"]}
    async with gateway.http(OPERATOR, ADMIN) as http:
        refused = await http.get("/api/v1/admin/revenue", params=backwards)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_message")
    async with gateway.http(shop.acme, READ) as http:
        refused = await http.get("/api/v1/billing/spending", params=backwards)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_message")
