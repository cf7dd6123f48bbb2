"""Schedules that staff make in Stripe: the change is told when they make it, not only when it happens."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tallystick.messages import subscriptions as m
from tests.support.worlds.plan_changes import FEBRUARY, Crew, bought
from tests.support.worlds.subscriptions import gapless

# Raised by how the Stripe SDK calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


async def schedules(crew: Crew, price: str, quantity: int, stripe_price: str | None = None) -> Any:
    """Staff schedule another price or quantity for the next period."""
    v1 = crew.world.stripe.v1
    mine = await crew.world.subscription()
    present = v1.subscriptions.retrieve(mine["stripe_subscription_id"])
    [item] = present["items"].data
    schedule = v1.subscription_schedules.create({"from_subscription": present.id})
    new = stripe_price or v1.prices.list({"lookup_keys": [price]}).data[0].id
    running = schedule.phases[0]
    phases: Any = {
        "phases": [
            {
                "items": [{"price": item.price.id, "quantity": item.quantity}],
                "start_date": running.start_date,
                "end_date": running.end_date,
            },
            {
                "items": [{"price": new, "quantity": quantity}],
                "duration": {"interval": "month", "interval_count": 1},
                "proration_behavior": "none",
            },
        ],
        "end_behavior": "release",
    }
    updated = v1.subscription_schedules.update(schedule.id, phases)
    await crew.world.catches_up()
    return updated


async def test_a_schedule_of_staff_is_told_when_it_is_made(crew: Crew) -> None:
    await crew.begins("big_monthly", 1)
    await schedules(crew, "solo_monthly", 1)
    found = await crew.world.subscription()
    assert bought(found) == [("big_monthly", 1)]
    assert found["scheduled_change"] == {
        "product": "solo",
        "price": "solo_monthly",
        "quantity": 1,
        "at": "2026-02-01T00:00:00Z",
        "custom_price": None,
    }
    assert (await crew.world.names("subscription"))[2:] == ["changeScheduledV1"]

    await crew.reaches(FEBRUARY + timedelta(hours=2))
    after = await crew.world.subscription()
    assert (bought(after), after["scheduled_change"]) == ([("solo_monthly", 1)], None)
    told = await crew.world.told("subscription")
    assert [name for name, _ in told][2:] == ["changeScheduledV1", "renewedV1", "changedV1"]
    assert gapless(told, "subscription", "subscription_id")


async def test_it_is_taken_back_by_a_command(crew: Crew) -> None:
    await crew.begins("big_monthly", 1)
    schedule = await schedules(crew, "solo_monthly", 1)
    command = m.CancelScheduledChange(command_id=crew.world.command_id(), subscription_id=await crew.id())
    result = await crew.world.does(command)
    assert result["subscription"]["scheduled_change"] is None
    assert crew.world.stripe.v1.subscription_schedules.retrieve(schedule.id).status == "released"
    await crew.reaches(FEBRUARY + timedelta(hours=2))
    assert bought(await crew.world.subscription()) == [("big_monthly", 1)]


async def test_staff_take_it_back_in_stripe(crew: Crew) -> None:
    await crew.begins("big_monthly", 1)
    schedule = await schedules(crew, "solo_monthly", 1)
    crew.world.stripe.v1.subscription_schedules.release(schedule.id)
    await crew.world.catches_up()
    assert (await crew.world.subscription())["scheduled_change"] is None


async def test_staff_replace_a_change_of_ours(crew: Crew) -> None:
    await crew.begins(quantity=5)
    await crew.world.does(await crew.quantity(3))
    mine = await crew.world.subscription()
    v1 = crew.world.stripe.v1
    theirs = v1.subscriptions.retrieve(mine["stripe_subscription_id"])
    schedule = v1.subscription_schedules.retrieve(str(theirs.schedule))
    phases: list[Any] = [
        {
            "items": [{"price": item.price, "quantity": quantity} for item in phase["items"]],
            "start_date": phase.start_date,
            "end_date": phase.end_date,
        }
        for phase, quantity in zip(schedule.phases, (5, 2), strict=True)
    ]
    v1.subscription_schedules.update(schedule.id, {"phases": phases})
    await crew.world.catches_up()
    assert (await crew.world.subscription())["scheduled_change"]["quantity"] == 2
    await crew.reaches(FEBRUARY + timedelta(hours=2))
    assert bought(await crew.world.subscription()) == [("crew_volume", 2)]


async def test_a_repeated_command_records_what_stripe_has_by_then(crew: Crew) -> None:
    # The first command is cut off after Stripe has taken its change; the second one replaces that change.
    await crew.begins()
    first, second = await crew.quantity(1), await crew.quantity(2)
    crew.world.stand_in.goes_away_after(2)
    assert (await crew.world.bound.handle(first, datetime.now(UTC))).status == "failed"
    crew.world.stand_in.comes_back()
    await crew.world.does(second)
    assert (await _waiting_in_stripe(crew)) == 2

    # Repeated with its idempotency keys, the first command changes nothing in Stripe.
    await crew.world.does(first)
    await crew.world.catches_up()
    assert (await crew.world.subscription())["scheduled_change"]["quantity"] == 2
    assert (await _waiting_in_stripe(crew)) == 2
    await crew.reaches(FEBRUARY + timedelta(hours=2))
    assert bought(await crew.world.subscription()) == [("crew_volume", 2)]


async def _waiting_in_stripe(crew: Crew) -> int:
    v1 = crew.world.stripe.v1
    mine = await crew.world.subscription()
    theirs = v1.subscriptions.retrieve(mine["stripe_subscription_id"])
    schedule = v1.subscription_schedules.retrieve(str(theirs.schedule))
    quantity: int = schedule.phases[1]["items"][0].quantity
    return quantity


@pytest.mark.parametrize("is_known", [True, False])
async def test_a_schedule_to_a_price_that_the_catalog_does_not_have_is_told(
    crew: Crew, is_known: bool
) -> None:
    # 77.00 a month from February on, negotiated on the product Solo, or on one that only Stripe has.
    await crew.begins("big_monthly", 1)
    v1 = crew.world.stripe.v1
    solo = v1.prices.list({"lookup_keys": ["solo_monthly"]}).data[0].product
    product = solo if is_known else v1.products.create({"name": "Something else"}).id
    wanted: Any = {"product": product, "currency": "eur", "unit_amount": 7700}
    made = v1.prices.create(wanted | {"recurring": {"interval": "month"}})

    await schedules(crew, "", 1, made.id)

    assert (await crew.world.subscription())["scheduled_change"] == {
        "product": "solo" if is_known else None,
        "price": None,
        "quantity": 1,
        "at": "2026-02-01T00:00:00Z",
        "custom_price": {
            "unit_amount": 7700,
            "currency": "eur",
            "interval": "month",
            "interval_count": 1,
        },
    }
    assert (await crew.world.names("subscription"))[2:] == ["changeScheduledV1"]
    await crew.reaches(FEBRUARY + timedelta(hours=2))
    after = await crew.world.subscription()
    assert (after["items"][0]["custom_price"]["unit_amount"], after["scheduled_change"]) == (7700, None)
