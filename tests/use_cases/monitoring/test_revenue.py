"""Revenue as it is kept: the same whatever comes twice, late, or in the wrong order."""

from datetime import datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from services.monitoring.app import service
from tallystick.messages import monitoring as m
from tallystick.messages import subscriptions as s
from tallystick.messages.base import Event
from tests.support.runtime import Bound
from tests.support.worlds.monitoring import BEGIN, MonitoringWorld, organization

ACME, GLOBEX = organization("acme"), organization("globex")
DAYS = "SELECT * FROM monitoring.revenue_days WHERE numerator <> 0 ORDER BY 1, 2, 3, 4"


def on(day: float) -> datetime:
    """So many days after the beginning."""
    return BEGIN + timedelta(days=day)


async def revenue(world: MonitoringWorld, days: int = 90, by: m.By = "month") -> list[dict[str, Any]]:
    """The items of the report from the beginning."""
    found: list[dict[str, Any]] = (await world.asks(m.GetRevenue(since=BEGIN, until=on(days), by=by)))[
        "items"
    ]
    return found


async def test_an_empty_system_has_no_revenue(monitored: MonitoringWorld) -> None:
    assert await revenue(monitored) == []


async def test_a_customer_from_checkout_to_refund(monitored: MonitoringWorld) -> None:
    await monitored.sells("solo", unit_amount=4900)
    await monitored.sells("pro", unit_amount=9900)
    events = [
        monitored.subscription(ACME, 1, on(1), "incomplete", "solo"),
        monitored.subscription(ACME, 2, on(1), "active", "solo"),
        monitored.subscription(ACME, 3, on(32), "active", "solo"),
        monitored.subscription(ACME, 4, on(40), "active", "pro"),
        monitored.subscription(ACME, 5, on(70), "canceled", "pro"),
        monitored.invoice(ACME, 1, on(1), "open", attempt_count=0),
        monitored.invoice(ACME, 2, on(1), "paid", attempt_count=1),
    ]
    for event in events:
        await monitored.hears(event, "updated")
    january, february, march = await revenue(monitored)
    assert (january["mrr"], january["new"], january["collected"]) == (4900, 4900, 4900)
    assert (february["mrr"], february["expansion"], february["active"]) == (9900, 5000, 1)
    assert (march["mrr"], march["churn"], march["customer_churn_percent"]) == (0, 9900, 100.0)
    # A snapshot says the same.
    assert (await monitored.captures(on(45)))["mrr"] == {"eur": 9900}
    assert len(await monitored.bound.rows("SELECT * FROM monitoring.histories")) == 6, "renewals add no row"


async def test_discounts_and_taxes_of_invoices_count(monitored: MonitoringWorld) -> None:
    await monitored.sells("solo", unit_amount=4900)
    await monitored.hears(monitored.subscription(ACME, 1, on(1), "active", "solo"), "created")

    def line(net: int) -> s.InvoiceLine:
        span = s.Span(start=on(1), end=on(32))
        return s.InvoiceLine(
            description=None, amount=4900, quantity=1, period=span, proration=False, price="solo", net=net
        )

    paid = monitored.invoice(ACME, 1, on(1.2), "paid", attempt_count=1, lines=[line(2059)])
    await monitored.hears(paid, "paid")
    again = monitored.invoice(ACME, 1, on(32), "paid", attempt_count=1, lines=[line(4118)], id="inv_2")
    await monitored.hears(again, "paid")
    await monitored.hears_all_again()
    january, february, _ = await revenue(monitored)
    assert (january["mrr"], january["new"]) == (2059, 2059)
    assert (february["mrr"], february["expansion"]) == (4118, 2059)


async def test_a_lost_dispute_is_money_given_back(monitored: MonitoringWorld) -> None:
    # 10.00 are refunded first. The bank takes back all 49.00, but no more than was paid can be given back.
    for version, day, name, fields in (
        (1, 1, "paid", {}),
        (2, 2, "refunded", {"amount_refunded": 1000}),
        (3, 3, "disputed", {"disputed": True, "amount_disputed": 4900}),
        (4, 40, "disputeClosed", {"disputed": True, "amount_disputed": 4900, "amount_charged_back": 4900}),
    ):
        given: dict[str, Any] = {"attempt_count": 1, "amount_refunded": 1000 if version > 1 else 0} | fields
        await monitored.hears(monitored.invoice(ACME, version, on(day), "paid", **given), name)
    january, february, _ = await revenue(monitored)
    assert (january["collected"], january["refunded"]) == (4900, 1000)
    assert (february["collected"], february["refunded"]) == (0, 3900)
    question = m.GetSpending(customer=ACME, since=BEGIN, until=on(90), by="month")
    months = (await monitored.asks(question))["items"]
    assert [month["net"] for month in months] == [3900, -3900]


async def test_replayed_events_change_nothing(monitored: MonitoringWorld) -> None:
    await monitored.sells("solo", unit_amount=4900)
    for version, (day, status) in enumerate(
        [(1, "active"), (30, "past_due"), (33, "active"), (60, "paused")], 1
    ):
        await monitored.hears(monitored.subscription(ACME, version, on(day), status, "solo"), "updated")  # type: ignore[arg-type]
    before = await monitored.bound.rows(DAYS)
    await monitored.hears_all_again()
    assert await monitored.bound.rows(DAYS) == before
    assert [row["kind"] for row in before] == ["new", "contraction"]


async def test_any_order_of_events_leads_to_the_same_days(bind: Any) -> None:
    bound: Bound = bind(service)
    world = MonitoringWorld(bound)
    await world.sells("yearly", unit_amount=10_000, interval="year")
    price = world.heard.pop()
    events: list[tuple[Event, str]] = [
        price,
        (world.subscription(ACME, 1, on(1), "trialing", "yearly"), "created"),
        (world.subscription(ACME, 2, on(15), "active", "yearly"), "activated"),
        (world.subscription(ACME, 3, on(40), "canceled", "yearly"), "canceled"),
        (world.subscription(ACME, 1, on(9), "active", "yearly", id="sub_second"), "created"),
    ]
    expected: list[dict[str, Any]] | None = None
    for order in permutations(events):
        await bound.execute(
            "TRUNCATE monitoring.revenue_days, monitoring.histories, monitoring.known_prices, "
            "monitoring.known_subscriptions"
        )
        for event, name in order:
            await bound.hears(event, name)
        found = await bound.rows(DAYS)
        expected = expected if expected is not None else found
        assert found == expected
    assert expected is not None
    kinds = {(row["kind"], str(row["day"]), int(row["numerator"]), row["denominator"]) for row in expected}
    assert kinds == {
        ("trials_started", "2026-01-02", 1, 1),
        ("new", "2026-01-10", 2500, 3),
        ("trials_converted", "2026-01-16", 1, 1),
        ("expansion", "2026-01-16", 2500, 3),
        ("contraction", "2026-02-10", 2500, 3),
    }


async def test_an_old_subscription_counts_from_its_beginning(monitored: MonitoringWorld) -> None:
    """A new installation on an old system hears of a late version first."""
    await monitored.sells("solo", unit_amount=4900)
    created = {"created_at": on(10), "trial_end": on(24)}
    await monitored.hears(monitored.subscription(ACME, 7, on(80), "active", "solo", **created), "renewed")
    await monitored.hears(
        monitored.subscription(GLOBEX, 7, on(80), "active", "solo", created_at=on(3)), "renewed"
    )
    days = [(str(row["day"]), row["kind"]) for row in await monitored.bound.rows(DAYS)]
    assert days == [("2026-01-04", "new"), ("2026-01-25", "new")]


async def test_by_day_and_week_and_in_two_currencies(monitored: MonitoringWorld) -> None:
    await monitored.sells("solo", unit_amount=4900)
    await monitored.sells("dollars", unit_amount=5000, currency="usd")
    await monitored.hears(monitored.subscription(ACME, 1, on(1), "active", "solo"), "created")
    await monitored.hears(monitored.subscription(GLOBEX, 1, on(9), "active", "dollars"), "created")
    days = await revenue(monitored, 12, "day")
    assert [(day["start"], day["mrr"]) for day in days if day["currency"] == "eur"][:3] == [
        ("2026-01-02", 4900),
        ("2026-01-03", 4900),
        ("2026-01-04", 4900),
    ]
    weeks = await revenue(monitored, 12, "week")
    assert [(week["start"], week["end"], week["currency"], week["mrr"]) for week in weeks] == [
        ("2026-01-01", "2026-01-05", "eur", 4900),
        ("2026-01-05", "2026-01-12", "eur", 4900),
        ("2026-01-05", "2026-01-12", "usd", 5000),
        ("2026-01-12", "2026-01-13", "eur", 4900),
        ("2026-01-12", "2026-01-13", "usd", 5000),
    ]


@pytest.mark.parametrize(("days", "by"), [(0, "month"), (801, "day"), (3701, "month")])
async def test_a_span_that_is_none_or_too_long_is_refused(
    monitored: MonitoringWorld, days: int, by: str
) -> None:
    body = f'{{"since": "2026-01-01T00:00:00Z", "until": "{on(days):%Y-%m-%dT%H:%M:%SZ}", "by": "{by}"}}'
    outcome = await monitored.bound.handle_body("get_revenue", body.encode())
    assert outcome.error is not None
    assert outcome.error.code == "invalid_message"
