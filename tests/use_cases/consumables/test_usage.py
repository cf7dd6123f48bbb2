"""Usage reports by time span, and usage exported to Stripe's meters, each unit once."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.errors import Unavailable
from tallystick.messages import catalog
from tallystick.messages import consumables as m
from tallystick.messages.base import Customer
from tests.support.catalogs import team_catalog
from tests.support.runtime import Bound
from tests.support.servers import NatsServer
from tests.support.worlds.recharges import ACCOUNT, FEATURE, RechargeWorld, recharge_world
from tests.support.worlds.subscriptions import ACME, World

# Raised by how the Stripe SDK calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
DAY = timedelta(days=1)
METER = "hours_used"


@pytest.fixture
async def world(
    bind: Callable[..., Bound], shop: World, nats_session: NatsServer
) -> AsyncIterator[RechargeWorld]:
    async with recharge_world(bind, shop, nats_session) as world:
        yield world


def at(day: str, hour: int = 0) -> datetime:
    return datetime.fromisoformat(day).replace(hour=hour, tzinfo=UTC)


async def used(world: RechargeWorld, day: datetime, consumer: str, quantity: int) -> None:
    """Add usage to the rollup of a day, as consumption does."""
    await world.bound.rows(
        """INSERT INTO consumables.usage_days AS old (customer, feature, day, consumer, account, quantity)
           VALUES ('organization_acme', %s, %s, %s, %s, %s)
           ON CONFLICT (customer, feature, day, consumer, account)
               DO UPDATE SET quantity = old.quantity + excluded.quantity RETURNING 1""",
        FEATURE,
        day,
        consumer,
        ACCOUNT,
        quantity,
    )


async def asked(world: RechargeWorld, **fields: Any) -> list[tuple[str, str | None, int]]:
    """Start, consumer and quantity of each span."""
    known: dict[str, Any] = {"since": at("2026-01-01"), "until": at("2026-03-01"), "by": "day"}
    report = await world.does(m.Usage(customer=ACME, feature=FEATURE, **(known | fields)))
    assert report["total"] == sum(item["quantity"] for item in report["items"])
    return [
        (item["start"][:10], item["consumer"] and item["consumer"]["id"], item["quantity"])
        for item in report["items"]
    ]


async def test_usage_by_day_week_and_month(world: RechargeWorld) -> None:
    # 2026-01-31 is a Saturday: its week began on the 26th.
    for day, consumer, quantity in (
        ("2026-01-31", "user_a", 30),
        ("2026-01-31", "user_b", 40),
        ("2026-02-01", "user_a", 20),
        ("2026-02-02", "user_a", 5),
    ):
        await used(world, at(day), consumer, quantity)
    assert await asked(world) == [
        ("2026-01-31", None, 70),
        ("2026-02-01", None, 20),
        ("2026-02-02", None, 5),
    ]
    assert await asked(world, by="week") == [("2026-01-26", None, 90), ("2026-02-02", None, 5)]
    assert await asked(world, by="month", group_by="consumer") == [
        ("2026-01-01", "a", 30),
        ("2026-01-01", "b", 40),
        ("2026-02-01", "a", 25),
    ]


async def test_usage_counts_whole_days_from_since_until_before_until(world: RechargeWorld) -> None:
    for day in ("2026-01-30", "2026-01-31", "2026-02-01"):
        await used(world, at(day), "user_a", 1)
    assert await asked(world, since=at("2026-01-31", hour=9), until=at("2026-02-01")) == [
        ("2026-01-31", None, 1)
    ]
    assert len(await asked(world, since=at("2026-01-30"), until=at("2026-02-01", hour=1))) == 3


async def test_nobody_sees_what_another_pays_for(world: RechargeWorld) -> None:
    await used(world, at("2026-01-31"), "user_a", 1)
    stranger = m.Usage(
        customer=ACME.model_copy(update={"id": "other"}),
        feature=FEATURE,
        since=at("2026-01-01"),
        until=at("2026-03-01"),
        by="day",
    )
    assert await world.does(stranger) == {"items": [], "total": 0}


async def test_what_is_used_and_what_is_given_back_is_rolled_up(world: RechargeWorld) -> None:
    """Two users consume 30 and 40 of the payer's own units; 5 of the 40 are refunded."""
    await world.has(100)
    anna, bert = (Customer(type="user", id=name) for name in ("anna", "bert"))
    for user in (anna, bert):
        await world.bound.rows(
            "INSERT INTO consumables.access (consumer, account) VALUES (%s, %s) RETURNING 1",
            user.token,
            ACCOUNT,
        )
    used = [
        m.Consume(command_id=world.command_id(), consumer=user, feature=FEATURE, quantity=quantity)
        for user, quantity in ((anna, 30), (bert, 40))
    ]
    for command in used:
        await world.does(command)
    await world.does(
        m.RefundConsumption(command_id=world.command_id(), consumption_id=used[1].command_id, quantity=5)
    )
    today = world.now.date().isoformat()
    span = {"since": world.now, "until": world.now + DAY}
    assert await asked(world, group_by="consumer", **span) == [(today, "anna", 30), (today, "bert", 35)]
    assert await asked(world, **span) == [(today, None, 65)]


@pytest.fixture
async def metered(world: RechargeWorld) -> RechargeWorld:
    """The catalog names a meter."""
    document = team_catalog()
    document["features"][2]["meter"] = METER
    await world.shop.does(catalog.ApplyCatalog(command_id=world.shop.command_id(), catalog=document))
    await world.hears()
    return world


def counted(world: RechargeWorld, stripe_id: str) -> float:
    """What the meter has counted over the last days."""
    (meter,) = world.shop.stripe.v1.billing.meters.list({}).data
    start = int((TODAY - 30 * DAY).timestamp())
    span = {"customer": stripe_id, "start_time": start, "end_time": start + 32 * 86_400}
    summaries = world.shop.stripe.v1.billing.meters.event_summaries
    return summaries.list(meter.id, span).data[0].aggregated_value  # type: ignore[arg-type]


async def test_usage_reaches_the_meter_once(metered: RechargeWorld) -> None:
    stripe_id = (await metered.shop.register())["stripe_customer_id"]
    await used(metered, TODAY - DAY, "user_a", 30)
    await used(metered, TODAY - DAY, "user_b", 40)
    await used(metered, TODAY, "user_a", 20)
    for _ in range(2):
        await metered.bound.tick("report_usage", metered.now)
    assert counted(metered, stripe_id) == 90
    await used(metered, TODAY, "user_a", 7)
    await metered.bound.tick("report_usage", metered.now)
    assert counted(metered, stripe_id) == 97
    rows = await metered.bound.rows("SELECT quantity, status FROM consumables.readings ORDER BY quantity")
    assert [(row["quantity"], row["status"]) for row in rows] == [
        (7, "recorded"),
        (20, "recorded"),
        (70, "recorded"),
    ]


async def test_usage_is_dated_on_its_day_and_never_after_the_report(metered: RechargeWorld) -> None:
    await metered.shop.register()
    for days in (1, 0):
        await used(metered, TODAY - days * DAY, "user_a", 10)
    await metered.bound.tick("report_usage", metered.now)
    rows = await metered.bound.rows("SELECT used_at FROM consumables.readings ORDER BY used_at")
    assert [row["used_at"] for row in rows] == [TODAY - timedelta(seconds=1), metered.now]


async def test_readings_are_kept_for_ninety_days(metered: RechargeWorld) -> None:
    await metered.shop.register()
    await used(metered, TODAY, "user_a", 10)

    async def kept_after(days: int) -> int:
        await metered.bound.tick("report_usage", metered.now + days * DAY)
        return len(await metered.bound.rows("SELECT * FROM consumables.readings"))

    assert [await kept_after(days) for days in (0, 90, 91)] == [1, 1, 0]


async def test_a_report_that_broke_off_is_told_again_in_the_same_words(metered: RechargeWorld) -> None:
    stripe_id = (await metered.shop.register())["stripe_customer_id"]
    for days in range(5):
        await used(metered, TODAY - days * DAY, "user_a", 10)
    metered.shop.stand_in.goes_away_after(3)
    with pytest.raises(Unavailable):
        await metered.bound.tick("report_usage", metered.now)
    metered.shop.stand_in.comes_back()
    # More is used before the next try: it is a reading of its own.
    await used(metered, TODAY, "user_a", 1)
    await metered.bound.tick("report_usage", metered.now)
    assert counted(metered, stripe_id) == 51


async def test_more_than_one_batch_is_reported(metered: RechargeWorld) -> None:
    await metered.shop.register()
    await metered.bound.rows(
        """INSERT INTO consumables.usage_days (customer, feature, day, consumer, account, quantity)
           SELECT 'user_' || n, %s, %s, 'user_a', 'customer:user_' || n, 1 FROM generate_series(1, 250) AS n
           RETURNING 1""",
        FEATURE,
        TODAY,
    )
    await metered.bound.tick("report_usage", metered.now)
    rows = await metered.bound.rows(
        """SELECT count(*) AS readings, count(DISTINCT batch) AS batches, min(reason) AS reason
           FROM consumables.readings WHERE status = 'skipped'"""
    )
    assert rows == [{"readings": 250, "batches": 3, "reason": "no_stripe_customer"}]


async def test_what_stripe_takes_no_more_is_not_reported(metered: RechargeWorld) -> None:
    await metered.shop.register()
    await used(metered, TODAY - 40 * DAY, "user_a", 10)
    await metered.bound.tick("report_usage", metered.now)
    assert await metered.bound.rows("SELECT * FROM consumables.readings") == []


async def test_features_without_a_meter_are_not_reported(world: RechargeWorld) -> None:
    await world.shop.register()
    await used(world, TODAY, "user_a", 10)
    await world.bound.tick("report_usage", world.now)
    assert await world.bound.rows("SELECT * FROM consumables.readings") == []
