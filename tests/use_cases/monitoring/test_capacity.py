"""Capacity, trends, recommendations and spending, from what was heard and captured."""

from datetime import timedelta
from typing import Any

from tallystick.messages import monitoring as m
from tallystick.messages import subscriptions as s
from tallystick.messages.base import Money
from tallystick.messages.consumables import RechargeEvent, RechargeSnapshot
from tests.support.worlds.balances import HOURS, MEMBERS, OWN, UnitsWorld
from tests.support.worlds.monitoring import BEGIN, MonitoringWorld, envelope, organization

ACME = organization("acme")


def unlimited(feature: str) -> s.ItemFeature:
    """A feature that a plan includes without a limit."""
    return s.ItemFeature(feature=feature, quantity=None, every=None, team_allowed=False, kind="limit")


async def trends(world: MonitoringWorld, days: int = 30, after: int = 30) -> dict[str, Any]:
    """The trends some days after the beginning."""
    return await world.asks(m.GetTrends(days=days), BEGIN + timedelta(days=after, hours=12))


async def test_capacity_is_what_is_used_of_what_was_sold(metered: MonitoringWorld, units: UnitsWorld) -> None:
    await metered.hears(metered.subscription(ACME, 1, BEGIN, "active", "business"), "created")
    enterprise = metered.subscription(
        organization("globex"), 1, BEGIN, "active", "enterprise", features=[unlimited(MEMBERS)]
    )
    await metered.hears(enterprise, "created")
    await metered.hears(metered.subscription(organization("x"), 1, BEGIN, "canceled", "business"), "created")
    await units.grant(10, OWN, MEMBERS)
    await units.uses(4, feature=MEMBERS, account=OWN)
    found = await metered.asks(m.GetSubscriptionCapacity())
    assert found["total_subscriptions"] == 2
    assert found["tier_distribution"] == {"business": 1, "enterprise": 1}
    assert found["features"][MEMBERS] == {
        "kind": "limit",
        "actual": 4,
        "theoretical_limit": 10,
        "unlimited_subscriptions": 1,
        "unlimited_actual": 0,
        "utilization_percent": 40.0,
        "headroom": 6,
    }
    assert found["features"][HOURS]["utilization_percent"] is None, "nothing was granted"
    assert (await metered.captures(BEGIN))["features"][MEMBERS]["actual"] == 4
    everything = await metered.asks(m.GetCapacity())
    assert everything["subscriptions"] == found
    assert everything["seat_utilization_percent"] is None
    assert everything["infrastructure"]["current"]["name"] == "Starter"


async def test_a_snapshot_without_totals_is_better_than_none(monitored: MonitoringWorld) -> None:
    assert (await monitored.captures(BEGIN))["features"] is None
    outcome = await monitored.bound.handle(m.GetSubscriptionCapacity())
    assert outcome.status == "failed", "but a question about them has no answer"


async def test_trends_of_customers_revenue_features_and_resources(
    metered: MonitoringWorld, units: UnitsWorld
) -> None:
    assert (await trends(metered))["customers"] is None
    await metered.sells("solo", unit_amount=4900)
    await units.grant(100, OWN, MEMBERS)
    await metered.registers("first")
    await metered.hears(metered.subscription(ACME, 1, BEGIN, "active", "solo"), "created")
    await metered.captures(BEGIN)
    assert (await trends(metered))["customers"] is None, "one day is no trend"
    await metered.registers("second")
    await units.uses(10, feature=MEMBERS, account=OWN)
    await metered.does(m.ReportResource(command_id="r", resource="shops", value=7, at=BEGIN))
    await metered.captures(BEGIN + timedelta(days=10))
    await units.uses(10, feature=MEMBERS, account=OWN)
    await metered.captures(BEGIN + timedelta(days=20))
    found = await trends(metered)
    assert found["snapshots_available"] == 3
    assert (found["customers"]["start_value"], found["customers"]["current_value"]) == (1, 2)
    assert found["mrr"]["eur"]["change"] == 0
    members = found["features"][MEMBERS]
    assert (members["current_value"], members["growth_rate_percent"]) == (20, None)
    assert members["reaches_limit_on"] == "2026-04-11", "100 units at one a day"
    assert (found["resources"]["shops"]["change"], found["features"][HOURS]["change"]) == (0, 0)
    assert (await trends(metered, days=15))["snapshots_available"] == 1
    assert (await trends(metered, days=15))["customers"] is None


async def test_recommendations_follow_from_capacity_and_customers(
    metered: MonitoringWorld, units: UnitsWorld
) -> None:
    await metered.registers("first")
    await units.grant(100, OWN, MEMBERS)
    await units.uses(85, feature=MEMBERS, account=OWN)
    found = (await metered.asks(m.GetRecommendations()))["items"]
    assert [(each["category"], each["severity"], each["about"]) for each in found] == [
        ("capacity", "warning", MEMBERS),
        ("infrastructure", "info", None),
    ]
    assert "85.0 %" in found[0]["description"]


async def test_spending_of_a_customer_by_month(monitored: MonitoringWorld) -> None:
    for version, status, fields in (
        (1, "open", {"attempt_count": 0}),
        (2, "paid", {"attempt_count": 1}),
        (3, "paid", {"attempt_count": 1, "amount_refunded": 900}),
    ):
        at = BEGIN + timedelta(days=20 * version)
        await monitored.hears(monitored.invoice(ACME, version, at, status, **fields), "updated")  # type: ignore[arg-type]
    recharge = RechargeSnapshot(
        recharge_id="recharge_1",
        version=1,
        account=OWN,
        feature=HOURS,
        quantity=2,
        amount=Money(amount=3000, currency="eur"),
        status="paid",
        automatic=True,
        invoice_id="inv_acme",
        created_at=BEGIN,
    )
    paid = RechargeEvent(**envelope(1, BEGIN + timedelta(days=41), ACME), recharge=recharge)
    await monitored.hears(paid, "paid")
    question = m.GetSpending(customer=ACME, since=BEGIN, until=BEGIN + timedelta(days=90))
    found = (await monitored.asks(question))["items"]
    assert found == [
        {
            "start": "2026-02-01",
            "end": "2026-03-01",
            "currency": "eur",
            "paid": 4900,
            "refunded": 0,
            "net": 4900,
            "recharges": 3000,
            "invoices": 1,
        },
        {
            "start": "2026-03-01",
            "end": "2026-04-01",
            "currency": "eur",
            "paid": 0,
            "refunded": 900,
            "net": -900,
            "recharges": 0,
            "invoices": 0,
        },
    ]
    nobody = m.GetSpending(customer=organization("nobody"), since=BEGIN, until=BEGIN + timedelta(days=9))
    assert await monitored.asks(nobody) == {"items": []}
