"""Immediate changes of plan and quantity and their rejections, on a test clock of the Stripe stand-in."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tallystick.messages import subscriptions as m
from tests.support.worlds.plan_changes import FEBRUARY, MIDDLE, Crew, amounts, bought
from tests.support.worlds.subscriptions import ACME, gapless

# Raised by how the Stripe SDK calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


async def test_seats_added_mid_month_are_on_the_next_invoice(crew: Crew) -> None:
    # 3 × 10.00 = 30.00 for January; 8 × 8.00 = 64.00 a month. Half is left: -15.00 + 32.00 = 17.00.
    await crew.begins()
    await crew.reaches(MIDDLE)
    preview = await crew.preview(quantity=8)
    assert preview["due_now"] == {"amount": 0, "currency": "eur"}
    assert preview["next_invoice"] == {"amount": 8100, "currency": "eur"}

    result = await crew.world.does(await crew.quantity(8))
    assert bought(result["subscription"]) == [("crew_volume", 8)]
    assert result["scheduled_change"] is None
    await crew.reaches(FEBRUARY + timedelta(hours=2))
    invoice = await crew.newest_invoice()
    assert (invoice["total"], invoice["status"]) == (8100, "paid")
    assert sorted(amounts(invoice["lines"])) == [-1500, 3200, 6400]
    shown = [(line["description"], line["amount"], line["period"]) for line in preview["lines"]]
    invoiced = [(line["description"], line["amount"], line["period"]) for line in invoice["lines"]]
    assert sorted(map(str, shown)) == sorted(map(str, invoiced))
    told = await crew.world.told("subscription")
    assert [name for name, _ in told] == ["createdV1", "activatedV1", "changedV1", "renewedV1"]
    assert gapless(told, "subscription", "subscription_id")


async def test_more_seats_invoiced_at_once_cost_what_the_preview_says(crew: Crew) -> None:
    await crew.begins()
    await crew.reaches(MIDDLE)
    preview = await crew.preview(quantity=8, proration="invoice")
    assert preview["due_now"]["amount"] == 1700
    assert preview["next_invoice"]["amount"] == 6400
    assert amounts(preview["lines"]) == [-1500, 3200]

    await crew.world.does(await crew.quantity(8, when="now", proration="invoice"))
    await crew.world.catches_up()
    invoice = await crew.newest_invoice()
    assert (invoice["total"], invoice["amount_paid"]) == (1700, 1700)
    assert [(line["description"], line["amount"]) for line in invoice["lines"]] == [
        (line["description"], line["amount"]) for line in preview["lines"]
    ]


async def test_without_proration_nothing_is_settled(crew: Crew) -> None:
    # Graduated: 5 × 10.00 + 3 × 8.00 = 74.00.
    await crew.begins("crew_graduated")
    await crew.reaches(MIDDLE)
    assert (await crew.preview(quantity=8, proration="none"))["next_invoice"]["amount"] == 7400
    await crew.world.does(await crew.quantity(8, proration="none"))
    await crew.reaches(FEBRUARY + timedelta(hours=2))
    assert (await crew.newest_invoice())["total"] == 7400


async def test_a_payment_that_fails_leaves_the_subscription_as_it_was(crew: Crew) -> None:
    await crew.begins()
    await crew.reaches(MIDDLE)
    before = await crew.world.subscription()
    crew.saves("pm_card_chargeCustomerFail")
    code, details = await crew.world.refuses(await crew.quantity(8, proration="invoice"))
    assert (code, details["stripe_code"]) == ("payment_failed", "card_declined")
    await crew.world.catches_up()
    assert await crew.world.subscription() == before
    in_stripe = crew.world.stripe.v1.subscriptions.retrieve(before["stripe_subscription_id"])
    assert in_stripe["items"].data[0].quantity == 3


async def test_the_same_again_changes_nothing(crew: Crew) -> None:
    await crew.begins()
    before = await crew.world.subscription()
    result = await crew.world.does(await crew.quantity(3))
    assert result["subscription"] == before
    code, details = await crew.world.refuses(await crew.plan("crew_volume"))
    assert (code, details) == ("same_price", {"price": "crew_volume"})
    assert await crew.world.subscription() == before
    assert await crew.world.names("subscription") == ["createdV1", "activatedV1"]


async def test_a_dearer_plan_is_there_at_once_and_a_cheaper_one_waits(crew: Crew) -> None:
    await crew.begins("solo_monthly", 1)
    up = await crew.world.does(await crew.plan("big_monthly"))
    assert bought(up["subscription"]) == [("big_monthly", 1)]
    down = await crew.world.does(await crew.plan("solo_monthly"))
    assert bought(down["subscription"]) == [("big_monthly", 1)]
    assert down["scheduled_change"]["price"] == "solo_monthly"
    now = await crew.world.does(await crew.plan("solo_monthly", when="now"))
    assert (bought(now["subscription"]), now["scheduled_change"]) == ([("solo_monthly", 1)], None)


async def test_a_longer_interval_starts_now_and_a_shorter_one_waits(crew: Crew) -> None:
    # 3 × 100.00 for a year, less half of the 30.00 for January.
    await crew.begins()
    await crew.reaches(MIDDLE)
    preview = await crew.preview(price="crew_yearly")
    assert (preview["due_now"]["amount"], preview["next_invoice"]["amount"]) == (28500, 30000)
    result = await crew.world.does(await crew.plan("crew_yearly"))
    assert result["subscription"]["current_period_start"] == "2026-01-16T12:00:00Z"
    assert result["subscription"]["current_period_end"] == "2027-01-16T12:00:00Z"
    await crew.world.catches_up()
    assert (await crew.newest_invoice())["total"] == 28500

    back = await crew.preview(price="crew_volume")
    assert (back["due_now"]["amount"], back["next_invoice"]["amount"]) == (0, 3000)
    assert back["lines"][-1]["period"] == {"start": "2027-01-16T12:00:00Z", "end": "2027-02-16T12:00:00Z"}
    result = await crew.world.does(await crew.plan("crew_volume"))
    assert result["scheduled_change"]["at"] == "2027-01-16T12:00:00Z"
    await crew.reaches(datetime(2027, 1, 16, 14, tzinfo=UTC))
    after = await crew.world.subscription()
    assert bought(after) == [("crew_volume", 3)]
    assert after["current_period_end"] == "2027-02-16T12:00:00Z"
    assert (await crew.newest_invoice())["total"] == 3000


async def test_in_a_trial_everything_is_changed_at_once(crew: Crew) -> None:
    await crew.begins(quantity=8, trial_period_days=14)
    result = await crew.world.does(await crew.quantity(3))
    assert (bought(result["subscription"]), result["scheduled_change"]) == ([("crew_volume", 3)], None)
    await crew.reaches(datetime(2026, 1, 15, 2, tzinfo=UTC))
    assert (await crew.newest_invoice())["total"] == 3000


@pytest.mark.parametrize(
    ("price", "quantity", "code"),
    [
        ("nothing_here", None, "unknown_price"),
        ("gift_free", None, "unknown_price"),
        ("crew_usd", None, "invalid_message"),
        ("crew_graduated", 101, "quantity_out_of_range"),
        ("solo_monthly", 2, "quantity_out_of_range"),
    ],
)
async def test_what_cannot_be_is_refused(crew: Crew, price: str, quantity: int | None, code: str) -> None:
    await crew.begins()
    assert (await crew.world.refuses(await crew.plan(price, quantity=quantity)))[0] == code


async def test_fewer_seats_than_are_taken_are_refused(crew: Crew) -> None:
    await crew.begins(quantity=10)
    await crew.world.bound.rows("UPDATE subscriptions.subscriptions SET seats_occupied = 7 RETURNING 1")
    for when in ("now", "period_end"):
        code, details = await crew.world.refuses(await crew.quantity(5, when=when))
        assert (code, details["occupied"]) == ("seats_in_use", 7)
    assert (await crew.world.refuses(await crew.plan("solo_monthly")))[0] == "seats_in_use"
    assert (await crew.world.does(await crew.quantity(7)))["scheduled_change"]["quantity"] == 7


async def test_what_has_ended_or_is_overdue_is_not_changed(crew: Crew) -> None:
    await crew.begins()
    crew.saves("pm_card_chargeCustomerFail")
    await crew.reaches(FEBRUARY + timedelta(hours=2))
    code, details = await crew.world.refuses(await crew.quantity(4))
    assert (code, details) == ("subscription_not_active", {"status": "past_due"})


async def test_a_retry_finishes_a_change_after_a_crash(crew: Crew) -> None:
    await crew.begins()
    await crew.reaches(MIDDLE)
    command = await crew.quantity(8, proration="invoice")
    crew.world.stand_in.goes_away_after(1)
    first = await crew.world.bound.handle(command, datetime.now(UTC))
    crew.world.stand_in.comes_back()
    assert first.status in ("succeeded", "failed")
    await crew.world.does(command)
    await crew.world.catches_up()
    assert bought(await crew.world.subscription()) == [("crew_volume", 8)]
    page = await crew.world.asks(m.ListInvoices(customer=ACME))
    assert [invoice["total"] for invoice in page["items"]] == [1700, 3000]


async def test_what_ended_in_stripe_unheard_is_not_changed(crew: Crew) -> None:
    mine = await crew.begins()
    crew.world.stripe.v1.subscriptions.cancel(mine["stripe_subscription_id"])
    code, details = await crew.world.refuses(await crew.quantity(4))
    assert (code, details) == ("subscription_not_active", {"status": "canceled"})


async def test_of_two_concurrent_changes_the_last_one_stays(crew: Crew) -> None:
    await crew.begins()
    wishes = [await crew.quantity(quantity, when="period_end") for quantity in (1, 2)]
    outcomes = await asyncio.gather(*(crew.world.bound.handle(wish, datetime.now(UTC)) for wish in wishes))
    assert {outcome.status for outcome in outcomes} <= {"succeeded", "failed"}
    await crew.world.catches_up()
    waiting = (await crew.world.subscription())["scheduled_change"]["quantity"]
    await crew.reaches(FEBRUARY + timedelta(hours=2))
    assert bought(await crew.world.subscription()) == [("crew_volume", waiting)]
