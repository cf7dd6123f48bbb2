"""Prices every three or six months and every two weeks: in Stripe, and on periods of our own."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tallystick.messages import subscriptions as m
from tallystick.messages.catalog import ApplyCatalog, GetCatalog
from tests.support.worlds.plan_changes import Crew, amounts, bought
from tests.support.worlds.subscriptions import ACME, OpenShop, World

# Raised by how the Stripe SDK calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _price(code: str, amount: int, interval: str = "month", count: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "code": code,
        "model": "flat",
        "currency": "eur",
        "interval": interval,
        "interval_count": count,
        "unit_amount": amount,
        **more,
    }


CATALOG: dict[str, Any] = {
    "products": [
        {
            "code": "solo",
            "name": "Solo",
            "kind": "plan",
            "prices": [
                _price("solo_monthly", 10000),
                _price("solo_quarterly", 27000, count=3),
                _price("solo_half", 48000, count=6),
                _price("solo_fortnight", 5000, "week", 2),
                _price("solo_biennial", 150000, "year", 2),
            ],
        },
        {
            "code": "pro",
            "name": "Pro",
            "kind": "plan",
            "prices": [_price("pro_half", 120000, count=6), _price("pro_quarterly", 66000, count=3)],
        },
        {
            "code": "gift",
            "name": "Gift",
            "kind": "plan",
            "prices": [{"code": "gift_half", "model": "free", "interval": "month", "interval_count": 6}],
        },
    ]
}
NEW_YEAR = day("2026-01-01")


@pytest.fixture
async def crew(open_shop: OpenShop) -> Crew:
    """A customer with Stripe, on a test clock."""
    return Crew(await open_shop(CATALOG))


@pytest.fixture
async def own(open_shop: OpenShop) -> World:
    """An installation without payments."""
    world = await open_shop(CATALOG, key=None)
    await world.register()
    return world


async def begin(world: World, price: str, start: datetime, **fields: Any) -> dict[str, Any]:
    """A subscription paid outside."""
    command = m.CreateSubscription(
        command_id=world.command_id(),
        customer=ACME,
        items=[m.ItemToBuy(price=price)],
        collection="none",
        period_start=start,
        **fields,
    )
    found: dict[str, Any] = (await world.does(command))["subscription"]
    return found


async def to_plan(world: World, price: str, **fields: Any) -> dict[str, Any]:
    about = (await world.subscription())["subscription_id"]
    command = m.ChangePlan(command_id=world.command_id(), subscription_id=about, price=price, **fields)
    return await world.does(command)


def period(subscription: dict[str, Any]) -> tuple[str, str]:
    return subscription["current_period_start"][:10], subscription["current_period_end"][:10]


async def renews(world: World, at: str) -> tuple[str, str]:
    """Move the due periods and return the running one."""
    await world.bound.tick("move_periods", day(at))
    return period(await world.subscription())


async def test_stripe_has_the_same_price_and_a_document_cannot_change_it(crew: Crew) -> None:
    made = crew.world.stripe.v1.prices.list({"lookup_keys": ["solo_quarterly"]}).data[0]
    assert made.recurring is not None
    assert (made.recurring.interval, made.recurring.interval_count, made.unit_amount) == ("month", 3, 27000)
    catalog = (await crew.world.asks(GetCatalog()))["catalog"]
    told = {price["code"]: price for price in catalog["products"][0]["prices"]}
    assert (told["solo_quarterly"]["interval"], told["solo_quarterly"]["interval_count"]) == ("month", 3)
    assert told["solo_monthly"]["interval_count"] == 1

    again = await crew.world.does(ApplyCatalog(command_id=crew.world.command_id(), catalog=CATALOG))
    assert again["changes"]["prices"] == {"created": [], "updated": [], "archived": []}
    other: Any = {
        "products": [{**CATALOG["products"][0], "prices": [_price("solo_quarterly", 27000, count=4)]}]
    }
    code, details = await crew.world.refuses(ApplyCatalog(command_id=crew.world.command_id(), catalog=other))
    assert (code, details[0]["fields"]) == ("price_immutable", ["interval_count"])


async def test_three_months_in_stripe_renew_and_cost_what_they_cost(crew: Crew) -> None:
    mine = await crew.begins("solo_quarterly", 1)
    assert period(mine) == ("2026-01-01", "2026-04-01")
    assert [(item["interval"], item["interval_count"]) for item in mine["items"]] == [("month", 3)]
    coming = (await crew.world.asks(m.UpcomingInvoice(customer=ACME)))["invoice"]
    assert (coming["total"], coming["due_at"][:10]) == (27000, "2026-04-01")

    await crew.reaches(day("2026-04-01T02:00"))
    assert period(await crew.world.subscription()) == ("2026-04-01", "2026-07-01")
    invoice = await crew.newest_invoice()
    assert (invoice["total"], invoice["status"]) == (27000, "paid")


async def test_from_a_month_to_three_months_costs_what_the_preview_says(crew: Crew) -> None:
    # Half of January is left: -50.00 + 270.00 = 220.00, and a new period from then on.
    await crew.begins("solo_monthly", 1)
    await crew.reaches(day("2026-01-16T12:00"))
    preview = await crew.preview(price="solo_quarterly")
    assert (preview["due_now"]["amount"], preview["next_invoice"]["amount"], preview["when"]) == (
        22000,
        27000,
        "now",
    )
    result = await to_plan(crew.world, "solo_quarterly")
    assert period(result["subscription"]) == ("2026-01-16", "2026-04-16")
    await crew.world.catches_up()
    invoice = await crew.newest_invoice()
    assert (invoice["total"], sorted(amounts(invoice["lines"]))) == (22000, [-5000, 27000])

    # Back to a month waits for the end of the three months.
    back = await to_plan(crew.world, "solo_monthly")
    assert (back["scheduled_change"]["price"], back["scheduled_change"]["at"][:10]) == (
        "solo_monthly",
        "2026-04-16",
    )
    await crew.reaches(day("2026-04-16T14:00"))
    now = await crew.world.subscription()
    assert (bought(now), period(now), now["scheduled_change"]) == (
        [("solo_monthly", 1)],
        ("2026-04-16", "2026-05-16"),
        None,
    )
    assert (await crew.newest_invoice())["total"] == 10000


async def test_a_downgrade_waits_for_the_end_of_six_months_in_stripe(crew: Crew) -> None:
    await crew.begins("pro_half", 1)
    result = await to_plan(crew.world, "solo_half")
    assert result["scheduled_change"]["at"][:10] == "2026-07-01"
    await crew.world.catches_up()
    schedule = crew.world.stripe.v1.subscriptions.retrieve(result["subscription"]["stripe_subscription_id"])
    phases = crew.world.stripe.v1.subscription_schedules.retrieve(str(schedule.schedule)).phases
    assert [(phase.start_date, phase.end_date) for phase in phases] == [
        (int(NEW_YEAR.timestamp()), int(day("2026-07-01").timestamp())),
        (int(day("2026-07-01").timestamp()), int(day("2027-01-01").timestamp())),
    ]
    await crew.reaches(day("2026-07-01T02:00"))
    now = await crew.world.subscription()
    assert (bought(now), period(now)) == ([("solo_half", 1)], ("2026-07-01", "2027-01-01"))
    assert (await crew.newest_invoice())["total"] == 48000


async def test_more_within_three_months_is_prorated_by_the_second(crew: Crew) -> None:
    # 90 days from 1 January; 45 are left at 15 February: -135.00 + 330.00 = 195.00.
    await crew.begins("solo_quarterly", 1)
    await crew.reaches(day("2026-02-15"))
    preview = await crew.preview(price="pro_quarterly", proration="invoice")
    assert (preview["due_now"]["amount"], preview["next_invoice"]["amount"]) == (19500, 66000)
    await to_plan(crew.world, "pro_quarterly", proration="invoice")
    await crew.world.catches_up()
    assert sorted(amounts((await crew.newest_invoice())["lines"])) == [-13500, 33000]
    assert period(await crew.world.subscription()) == ("2026-01-01", "2026-04-01")


async def test_own_periods_of_three_months_never_drift_from_the_31st(own: World) -> None:
    mine = await begin(own, "solo_quarterly", day("2026-01-31"))
    assert period(mine) == ("2026-01-31", "2026-04-30")
    for at, running in [
        ("2026-04-30", ("2026-04-30", "2026-07-31")),
        ("2026-07-31", ("2026-07-31", "2026-10-31")),
        ("2026-10-31", ("2026-10-31", "2027-01-31")),
        ("2027-05-01", ("2027-04-30", "2027-07-31")),
    ]:
        assert await renews(own, at) == running


@pytest.mark.parametrize(
    ("price", "start", "ends"),
    [
        ("solo_half", "2025-08-31", ["2026-02-28", "2026-08-31", "2027-02-28"]),
        ("solo_fortnight", "2026-01-31", ["2026-02-14", "2026-02-28", "2026-03-14"]),
        ("solo_biennial", "2024-02-29", ["2026-02-28", "2028-02-29", "2030-02-28"]),
    ],
)
async def test_own_periods_of_other_lengths(own: World, price: str, start: str, ends: list[str]) -> None:
    found = [period(await begin(own, price, day(start)))[1]]
    for _ in ends[1:]:
        found.append((await renews(own, found[-1]))[1])
    assert found == ends


async def test_own_change_from_a_month_to_three_and_back(own: World) -> None:
    # Half of January is left: -50.00 + 270.00; paid outside, so told only.
    await begin(own, "solo_monthly", NEW_YEAR)
    own.bound.now = day("2026-01-16T12:00")
    about = (await own.subscription())["subscription_id"]
    preview = await own.asks(m.PreviewChange(subscription_id=about, price="solo_quarterly"))
    assert (preview["due_now"]["amount"], preview["next_invoice"]["amount"]) == (22000, 27000)
    spans = [(line["amount"], line["period"]["end"][:10]) for line in preview["lines"]]
    assert spans == [(-5000, "2026-02-01"), (27000, "2026-04-16")]

    later = await own.asks(m.PreviewChange(subscription_id=about, price="solo_quarterly", when="period_end"))
    assert [(line["amount"], line["period"]["end"][:10]) for line in later["lines"]] == [
        (27000, "2026-05-01")
    ]

    await to_plan(own, "solo_quarterly", when="period_end")
    coming = (await own.asks(m.UpcomingInvoice(customer=ACME)))["invoice"]
    assert (coming["total"], coming["lines"][0]["period"]["end"][:10]) == (27000, "2026-05-01")
    assert await renews(own, "2026-02-01") == ("2026-02-01", "2026-05-01")
    back = await to_plan(own, "solo_monthly")
    assert back["scheduled_change"]["at"][:10] == "2026-05-01"
    assert await renews(own, "2026-05-01") == ("2026-05-01", "2026-06-01")
    assert await renews(own, "2026-06-01") == ("2026-06-01", "2026-07-01")


async def test_a_trial_and_a_pause_keep_the_three_months(own: World) -> None:
    mine = await begin(own, "solo_quarterly", day("2026-01-17"), trial_days=14)
    assert (mine["status"], period(mine)) == ("trialing", ("2026-01-17", "2026-01-31"))
    assert await renews(own, "2026-01-31") == ("2026-01-31", "2026-04-30")
    about = mine["subscription_id"]
    await own.does(m.PauseSubscription(command_id=own.command_id(), subscription_id=about))
    assert await renews(own, "2026-06-01") == ("2026-01-31", "2026-04-30")
    resumed = await own.does(m.ResumeSubscription(command_id=own.command_id(), subscription_id=about))
    # It resumes in the period of the present day, whenever this test runs.
    days = [text[5:] for text in period(resumed["subscription"])]
    assert days in [["01-31", "04-30"], ["04-30", "07-31"], ["07-31", "10-31"], ["10-31", "01-31"]]


async def test_a_free_plan_may_have_periods_of_six_months(own: World) -> None:
    command = m.CreateSubscription(
        command_id=own.command_id(),
        customer=ACME,
        items=[m.ItemToBuy(price="gift_half")],
        collection="none",
        period_start=day("2026-01-31"),
    )
    assert period((await own.does(command))["subscription"]) == ("2026-01-31", "2026-07-31")


async def test_prices_of_other_lengths_are_not_combined(own: World) -> None:
    command = m.CreateSubscription(
        command_id=own.command_id(),
        customer=ACME,
        items=[m.ItemToBuy(price="solo_quarterly"), m.ItemToBuy(price="pro_half")],
        collection="none",
    )
    code, details = await own.refuses(command)
    assert (code, details["prices"]) == ("invalid_message", ["solo_quarterly", "pro_half"])
