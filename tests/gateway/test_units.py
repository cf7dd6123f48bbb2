"""Units over HTTP: balances, consumption, usage and recharges."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tallystick.messages.base import Customer
from tests.support.gateway import ADMIN, READ, GatewaySystem
from tests.support.shop import Shop, fresh_id
from tests.support.waiting import eventually

API = "/api/v1/billing"
HOURS = "mentorship_hours"
PLAN_HOURS = 5
"""Of the team's plan, for the payer."""

pytestmark = pytest.mark.timeout(180)


async def test_units_are_granted_used_and_counted(gateway: GatewaySystem, shop: Shop) -> None:
    await shop.register()
    await shop.buys("team_monthly", 2, trial=False)
    async with gateway.http("organization_operations", ADMIN) as operator:
        wish: dict[str, Any] = {
            "account": f"customer:{shop.acme.token}",
            "feature": HOURS,
            "quantity": 10,
            "reason": "a welcome",
        }

        async def granted() -> dict[str, Any] | None:
            answer = await operator.post("/api/v1/admin/grants", json=wish)
            return answer.json()["grant"] if answer.status_code == 201 else None

        grant = await eventually(granted)

    async with gateway.http(shop.acme) as http:

        async def left() -> int | None:
            items = (await http.get(f"{API}/balances")).json()["items"]
            return sum(one["remaining"] for one in items if one["feature"] == HOURS) or None

        # 10 by hand, and what the plan gives to the one who pays, which comes in its own time.
        before = PLAN_HOURS + 10

        async def all_there() -> bool:
            return await left() == before

        await eventually(all_there)
        key = {"Idempotency-Key": fresh_id("use")}
        used = await http.post(f"{API}/consume", json={"feature": HOURS, "quantity": 4}, headers=key)
        assert used.status_code == 200, used.text
        assert (used.json()["consumed"], used.json()["remaining"]) == (4, before - 4)
        again = await http.post(f"{API}/consume", json={"feature": HOURS, "quantity": 4}, headers=key)
        assert again.json() == used.json()
        much = await http.post(f"{API}/consume", json={"feature": HOURS, "quantity": 10_000})
        assert (much.status_code, much.json()["code"]) == (400, "insufficient_balance")
        assert much.json()["details"]["available"] == before - 4

        meters = (await http.get(f"{API}/subscription")).json()["usage"]
        assert sum(one["consumed"] for one in meters if one["feature"] == HOURS) == 4
        now = datetime.now(UTC)
        span = {
            "since": (now - timedelta(days=1)).isoformat(),
            "until": (now + timedelta(days=1)).isoformat(),
        }
        usage = await http.get(f"{API}/usage", params={"feature": HOURS, "by": "day", **span})
        assert usage.json()["total"] == 4
        alerts = await http.put(f"{API}/usage-alerts", json={"feature": HOURS, "percents": [100, 1]})
        assert alerts.json()["usage_alerts"]["percents"] == [1, 100]
        shown = await http.get(f"{API}/usage-alerts", params={"feature": HOURS})
        assert shown.json() == alerts.json()
        entitlements = (await http.get(f"{API}/entitlements")).json()["items"]
        assert HOURS in {one["feature"] for one in entitlements}

    async with gateway.http("organization_operations", ADMIN) as operator:
        url = f"/api/v1/admin/grants/{grant['grant_id']}"
        revoked = await operator.delete(url, params={"reason": "no longer"})
        assert revoked.json()["grant"]["revoked"] is True
        balances = await operator.get(f"/api/v1/admin/customers/{shop.acme.token}/balances")
        assert HOURS in {one["feature"] for one in balances.json()["items"]}


async def test_auto_recharge_is_set_by_whoever_pays(gateway: GatewaySystem, shop: Shop) -> None:
    await shop.register()
    await shop.buys("team_monthly", 2, trial=False)
    rule = {
        "feature": HOURS,
        "enabled": False,
        "threshold": 5,
        "recharge_quantity": 10,
        "max_spend_per_period": {"amount": 100_000, "currency": "eur"},
    }
    async with gateway.http(shop.acme) as http:

        async def was_set() -> dict[str, Any] | None:
            answer = await http.put(f"{API}/auto-recharge", json=rule)
            return answer.json()["auto_recharge"] if answer.status_code == 200 else None

        assert (await eventually(was_set))["threshold"] == 5
        found = await http.get(f"{API}/auto-recharge", params={"feature": HOURS})
        assert found.json()["auto_recharge"]["recharge_quantity"] == 10
        none = await http.get(f"{API}/auto-recharge", params={"feature": "nothing"})
        assert none.status_code == 404
    stranger = Customer(type="user", id=fresh_id("stranger"))
    async with gateway.http(stranger) as http:
        refused = await http.put(
            f"{API}/auto-recharge", json=rule | {"account": f"customer:{shop.acme.token}"}
        )
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    async with gateway.http(shop.acme, READ) as http:
        assert (await http.put(f"{API}/auto-recharge", json=rule)).status_code == 403
