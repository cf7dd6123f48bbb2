"""Changes of free subscriptions and of those paid outside: without Stripe, on our own ticks."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tallystick.messages import subscriptions as m
from tests.support.worlds.plan_changes import CREW_CATALOG, FEBRUARY, MIDDLE, NEW_YEAR, bought
from tests.support.worlds.subscriptions import ACME, OpenShop, World


@pytest.fixture
async def world(open_shop: OpenShop) -> World:
    """An installation without payments."""
    world = await open_shop(CREW_CATALOG, key=None)
    await world.register()
    return world


async def begin(world: World, price: str = "crew_volume", quantity: int | None = 3) -> dict[str, Any]:
    """A subscription from 1 January on, paid outside; free prices begin now."""
    start = None if price.startswith("gift") else NEW_YEAR
    command = m.CreateSubscription(
        command_id=world.command_id(),
        customer=ACME,
        items=[m.ItemToBuy(price=price, quantity=quantity)],
        collection="none",
        period_start=start,
    )
    found: dict[str, Any] = (await world.does(command))["subscription"]
    return found


def to_quantity(world: World, of: dict[str, Any], quantity: int, **fields: Any) -> m.ChangeQuantity:
    return m.ChangeQuantity(
        command_id=world.command_id(), subscription_id=of["subscription_id"], quantity=quantity, **fields
    )


def to_plan(world: World, of: dict[str, Any], price: str, **fields: Any) -> m.ChangePlan:
    return m.ChangePlan(
        command_id=world.command_id(), subscription_id=of["subscription_id"], price=price, **fields
    )


async def preview(world: World, of: dict[str, Any], at: datetime, **fields: Any) -> dict[str, Any]:
    world.bound.now = at
    return await world.asks(m.PreviewChange(subscription_id=of["subscription_id"], **fields))


async def test_more_is_given_at_once(world: World) -> None:
    mine = await begin(world)
    result = await world.does(to_quantity(world, mine, 8))
    assert bought(result["subscription"]) == [("crew_volume", 8)]
    assert result["subscription"]["current_period_end"] == mine["current_period_end"]
    assert await world.names("subscription") == ["createdV1", "activatedV1", "changedV1"]
    again = await world.does(to_quantity(world, mine, 8))
    assert again["subscription"] == result["subscription"]
    assert len(await world.names("subscription")) == 3


async def test_a_preview_says_what_is_to_be_paid_outside(world: World) -> None:
    # Half of January is left: -15.00 + 32.00 = 17.00; then 64.00 a month.
    mine = await begin(world)
    settled = await preview(world, mine, MIDDLE, quantity=8)
    assert settled["due_now"] == {"amount": 0, "currency": "eur"}
    assert settled["next_invoice"] == {"amount": 8100, "currency": "eur"}
    assert [(line["amount"], line["proration"]) for line in settled["lines"]] == [
        (-1500, True),
        (3200, True),
        (6400, False),
    ]
    assert settled["lines"][0]["period"] == {"start": "2026-01-16T12:00:00Z", "end": "2026-02-01T00:00:00Z"}
    assert settled["lines"][2]["period"] == {"start": "2026-02-01T00:00:00Z", "end": "2026-03-01T00:00:00Z"}

    at_once = await preview(world, mine, MIDDLE, quantity=8, proration="invoice")
    assert (at_once["due_now"]["amount"], at_once["next_invoice"]["amount"]) == (1700, 6400)
    later = await preview(world, mine, MIDDLE, quantity=8, when="period_end")
    assert (later["due_now"]["amount"], later["next_invoice"]["amount"]) == (0, 6400)
    never = await preview(world, mine, MIDDLE, quantity=8, proration="none")
    assert (never["due_now"]["amount"], never["next_invoice"]["amount"]) == (0, 6400)
    # A year of 3 × 100.00, less the half of 30.00.
    yearly = await preview(world, mine, MIDDLE, price="crew_yearly")
    assert (yearly["due_now"]["amount"], yearly["next_invoice"]["amount"]) == (28500, 30000)


async def test_what_comes_next_is_what_is_to_be_paid_outside(world: World) -> None:
    # 3 at 10.00 from 1 February on; 2 of them once fewer are scheduled; nothing when it ends.
    mine = await begin(world)
    question = m.UpcomingInvoice(customer=ACME)
    coming = (await world.asks(question))["invoice"]
    assert (coming["total"], coming["amount_due"], coming["currency"]) == (3000, 3000, "eur")
    assert coming["subscription_id"] == mine["subscription_id"]
    assert coming["due_at"] == coming["lines"][0]["period"]["start"] == "2026-02-01T00:00:00Z"
    assert [(line["price"], line["amount"], line["proration"]) for line in coming["lines"]] == [
        ("crew_volume", 3000, False)
    ]

    await world.does(to_quantity(world, mine, 2))
    assert (await world.asks(question))["invoice"]["total"] == 2000
    ends = m.CancelSubscription(
        command_id=world.command_id(), subscription_id=mine["subscription_id"], at="period_end"
    )
    await world.does(ends)
    assert (await world.bound.handle(question)).error.code == "not_found"  # type: ignore[union-attr]


async def test_what_is_free_has_no_invoice_to_come(world: World) -> None:
    await begin(world, "gift_free", None)
    outcome = await world.bound.handle(m.UpcomingInvoice(customer=ACME))
    assert outcome.error is not None
    assert outcome.error.code == "not_found"


@pytest.mark.parametrize("job", ["apply_changes", "move_periods"])
async def test_less_waits_for_the_tick_after_the_end_of_the_period(world: World, job: str) -> None:
    mine = await begin(world, quantity=8)
    result = await world.does(to_quantity(world, mine, 3))
    assert bought(result["subscription"]) == [("crew_volume", 8)]
    assert result["scheduled_change"] == {
        "product": "crew",
        "price": "crew_volume",
        "quantity": 3,
        "at": "2026-02-01T00:00:00Z",
        "custom_price": None,
    }
    await world.bound.tick(job, FEBRUARY - timedelta(seconds=1))
    assert bought(await world.subscription()) == [("crew_volume", 8)]

    for late in (timedelta(0), timedelta(0), timedelta(minutes=5)):
        for tick in (job, "apply_changes", "move_periods"):
            await world.bound.tick(tick, FEBRUARY + late)
    after = await world.subscription()
    assert (bought(after), after["scheduled_change"]) == ([("crew_volume", 3)], None)
    assert after["current_period_end"] == "2026-03-01T00:00:00Z"
    assert await world.names("subscription") == [
        "createdV1",
        "activatedV1",
        "changeScheduledV1",
        "renewedV1",
        "changedV1",
    ]
    causes = {body["caused_by"] for _, body in (await world.told("subscription"))[3:]}
    assert causes == {f"subscriptions.{job} 2026-02-01T00:00:00Z"}


async def test_a_tick_missed_for_months_changes_and_renews_once(world: World) -> None:
    mine = await begin(world, quantity=8)
    await world.does(to_quantity(world, mine, 3))
    await world.bound.tick("apply_changes", datetime(2026, 5, 10, tzinfo=UTC))
    after = await world.subscription()
    assert bought(after) == [("crew_volume", 3)]
    assert (after["current_period_start"], after["current_period_end"]) == (
        "2026-05-01T00:00:00Z",
        "2026-06-01T00:00:00Z",
    )
    assert (await world.names("subscription"))[3:] == ["renewedV1", "changedV1"]


async def test_another_interval_is_counted_from_where_it_begins(world: World) -> None:
    mine = await begin(world)
    await world.does(to_plan(world, mine, "crew_yearly", when="period_end"))
    await world.bound.tick("apply_changes", FEBRUARY)
    yearly = await world.subscription()
    assert (bought(yearly), yearly["current_period_end"]) == ([("crew_yearly", 3)], "2027-02-01T00:00:00Z")
    await world.bound.tick("move_periods", datetime(2027, 2, 1, tzinfo=UTC))
    assert (await world.subscription())["current_period_end"] == "2028-02-01T00:00:00Z"


async def test_a_change_due_during_a_pause_is_applied_on_resume(world: World) -> None:
    mine = await begin(world, quantity=8)
    about = mine["subscription_id"]
    await world.does(to_plan(world, mine, "crew_yearly", quantity=2, when="period_end"))
    await world.does(m.PauseSubscription(command_id=world.command_id(), subscription_id=about))
    await world.bound.tick("apply_changes", FEBRUARY)
    assert (await world.subscription())["scheduled_change"]["quantity"] == 2

    resume = m.ResumeSubscription(command_id=world.command_id(), subscription_id=about)
    after = (await world.does(resume))["subscription"]

    assert (after["status"], bought(after), after["scheduled_change"]) == (
        "active",
        [("crew_yearly", 2)],
        None,
    )
    # Paid for by the year from where the month ended.
    assert after["current_period_start"][4:] == after["current_period_end"][4:] == "-02-01T00:00:00Z"
    assert (await world.names("subscription"))[3:] == ["pausedV1", "changedV1", "resumedV1"]


async def test_a_longer_interval_begins_at_once(world: World) -> None:
    mine = await begin(world)
    before = datetime.now(UTC)
    result = await world.does(to_plan(world, mine, "crew_yearly"))
    start = datetime.fromisoformat(result["subscription"]["current_period_start"])
    end = datetime.fromisoformat(result["subscription"]["current_period_end"])
    assert before <= start <= datetime.now(UTC)
    assert timedelta(days=365) <= end - start <= timedelta(days=366)


async def test_back_to_what_runs_drops_what_waits(world: World) -> None:
    # 3 seats, at the period's end 1, then 2, then 3 again.
    mine = await begin(world)
    for quantity in (1, 2):
        result = await world.does(to_quantity(world, mine, quantity, when="period_end"))
        assert result["scheduled_change"]["quantity"] == quantity
    result = await world.does(to_quantity(world, mine, 3, when="period_end"))
    assert result["scheduled_change"] is None
    await world.bound.tick("apply_changes", FEBRUARY)
    assert (await world.subscription())["current_period_end"] == "2026-02-01T00:00:00Z"
    await world.bound.tick("move_periods", FEBRUARY)
    assert bought(await world.subscription()) == [("crew_volume", 3)]


async def test_what_waits_is_taken_back_and_ends_with_the_wish_to_end(world: World) -> None:
    mine = await begin(world)

    def take_back() -> m.CancelScheduledChange:
        return m.CancelScheduledChange(command_id=world.command_id(), subscription_id=mine["subscription_id"])

    assert (await world.refuses(take_back()))[0] == "nothing_scheduled"
    await world.does(to_quantity(world, mine, 1))
    assert (await world.does(take_back()))["subscription"]["scheduled_change"] is None
    await world.does(to_quantity(world, mine, 1))
    ending = m.CancelSubscription(
        command_id=world.command_id(), subscription_id=mine["subscription_id"], at="period_end"
    )
    assert (await world.does(ending))["subscription"]["scheduled_change"] is None
    code, details = await world.refuses(to_quantity(world, mine, 1))
    assert (code, details["cancel_at_period_end"]) == ("subscription_not_active", True)
    await world.bound.tick("apply_changes", FEBRUARY)
    await world.bound.tick("move_periods", FEBRUARY)
    assert (await world.subscription())["status"] == "canceled"
    assert (await world.refuses(take_back()))[0] == "subscription_ended"


async def test_nobody_slips_from_free_to_paid(world: World) -> None:
    mine = await begin(world, "gift_free", None)
    code, details = await world.refuses(to_plan(world, mine, "solo_monthly"))
    assert (code, details) == ("unknown_price", {"price": "solo_monthly"})
    free = await world.asks(m.PreviewChange(subscription_id=mine["subscription_id"], price="gift_more"))
    nothing = {"amount": 0, "currency": "xxx"}
    assert (free["due_now"], free["next_invoice"], free["next_invoice_tax"]) == (nothing, nothing, nothing)
    assert (free["lines"], free["totals"]["total"], free["when"]) == ([], 0, "now")
    result = await world.does(to_plan(world, mine, "gift_more"))
    assert bought(result["subscription"]) == [("gift_more", 1)]


async def test_a_plan_that_another_subscription_has_is_refused(world: World) -> None:
    solo, big = await begin(world, "solo_monthly", None), await begin(world, "big_monthly", None)
    code, details = await world.refuses(to_plan(world, solo, "big_monthly"))
    assert (code, details) == ("already_subscribed", {"subscription_id": big["subscription_id"]})


async def test_an_unknown_subscription_is_not_found(world: World) -> None:
    nobody = {"subscription_id": "sub_01jk2m3n4p5q6r7s8t9v0w1x2y"}
    assert (await world.refuses(to_quantity(world, nobody, 2)))[0] == "not_found"
    outcome = await world.bound.handle(m.PreviewChange(subscription_id=nobody["subscription_id"], quantity=2))
    assert outcome.error is not None
    assert outcome.error.code == "not_found"
