"""Scheduled changes of plan and quantity, on a test clock of the Stripe stand-in."""

from datetime import UTC, datetime, timedelta

import pytest

from tallystick.messages import subscriptions as m
from tests.support.worlds.plan_changes import FEBRUARY, MIDDLE, Crew, bought

# Raised by how the Stripe SDK calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


async def test_less_waits_for_the_end_of_what_is_paid_for(crew: Crew) -> None:
    await crew.begins(quantity=8)
    await crew.reaches(MIDDLE)
    preview = await crew.preview(quantity=3)
    assert (preview["due_now"]["amount"], preview["next_invoice"]["amount"]) == (0, 3000)
    result = await crew.world.does(await crew.quantity(3))
    assert bought(result["subscription"]) == [("crew_volume", 8)]
    waiting = {
        "product": "crew",
        "price": "crew_volume",
        "quantity": 3,
        "at": "2026-02-01T00:00:00Z",
        "custom_price": None,
    }
    assert result["scheduled_change"] == result["subscription"]["scheduled_change"] == waiting
    await crew.world.catches_up()
    assert (await crew.world.subscription())["scheduled_change"] == waiting

    await crew.reaches(FEBRUARY + timedelta(hours=2))
    after = await crew.world.subscription()
    assert (bought(after), after["scheduled_change"]) == ([("crew_volume", 3)], None)
    assert (await crew.newest_invoice())["total"] == 3000
    assert await crew.world.names("subscription") == [
        "createdV1",
        "activatedV1",
        "changeScheduledV1",
        "renewedV1",
        "changedV1",
    ]


async def test_back_to_what_runs_now_drops_what_was_scheduled(crew: Crew) -> None:
    await crew.begins()
    for quantity in (1, 2):
        result = await crew.world.does(await crew.quantity(quantity, when="period_end"))
        assert result["scheduled_change"]["quantity"] == quantity
        await crew.world.catches_up()
    result = await crew.world.does(await crew.quantity(3, when="period_end"))
    assert result["scheduled_change"] is None
    await crew.world.catches_up()
    assert (await crew.world.subscription())["scheduled_change"] is None
    await crew.reaches(FEBRUARY + timedelta(hours=2))
    assert bought(await crew.world.subscription()) == [("crew_volume", 3)]
    assert (await crew.newest_invoice())["total"] == 3000


async def test_a_scheduled_change_is_taken_back(crew: Crew) -> None:
    await crew.begins()
    subscription_id = await crew.id()

    def take_back() -> m.CancelScheduledChange:
        return m.CancelScheduledChange(command_id=crew.world.command_id(), subscription_id=subscription_id)

    assert (await crew.world.refuses(take_back()))[0] == "nothing_scheduled"
    await crew.world.does(await crew.quantity(1))
    assert (await crew.world.does(take_back()))["subscription"]["scheduled_change"] is None
    await crew.world.catches_up()
    assert (await crew.world.refuses(take_back()))[0] == "nothing_scheduled"
    await crew.reaches(FEBRUARY + timedelta(hours=2))
    assert (await crew.newest_invoice())["total"] == 3000


async def test_an_immediate_change_replaces_a_scheduled_one(crew: Crew) -> None:
    await crew.begins()
    await crew.world.does(await crew.quantity(1))
    result = await crew.world.does(await crew.quantity(4, when="now"))
    assert (bought(result["subscription"]), result["scheduled_change"]) == ([("crew_volume", 4)], None)
    await crew.world.catches_up()
    await crew.world.does(await crew.quantity(2))
    await crew.reaches(FEBRUARY + timedelta(hours=2))
    assert bought(await crew.world.subscription()) == [("crew_volume", 2)]
    # While the schedule still holds the subscription in its last period:
    await crew.world.does(await crew.quantity(1))
    await crew.reaches(datetime(2026, 3, 1, 2, tzinfo=UTC))
    assert bought(await crew.world.subscription()) == [("crew_volume", 1)]


async def test_a_scheduled_change_asked_for_again_is_told_once(crew: Crew) -> None:
    await crew.begins()
    for _ in range(2):
        await crew.world.does(await crew.quantity(1))
    assert (await crew.world.names("subscription")).count("changeScheduledV1") == 1


async def test_a_change_scheduled_in_a_trial_applies_when_it_ends(crew: Crew) -> None:
    await crew.begins(quantity=8, trial_period_days=14)
    scheduled = await crew.world.does(await crew.quantity(4, when="period_end"))
    assert scheduled["subscription"]["status"] == "trialing"
    # Another change before the end: the schedule must repeat the trial.
    scheduled = await crew.world.does(await crew.quantity(3, when="period_end"))
    assert scheduled["subscription"]["status"] == "trialing"
    await crew.reaches(datetime(2026, 1, 15, 2, tzinfo=UTC))
    after = await crew.world.subscription()
    assert (after["status"], bought(after)) == ("active", [("crew_volume", 3)])
    assert (await crew.newest_invoice())["total"] == 3000


async def test_cancelling_at_the_periods_end_drops_what_was_scheduled(crew: Crew) -> None:
    await crew.begins()
    await crew.world.does(await crew.quantity(1))
    ending = m.CancelSubscription(
        command_id=crew.world.command_id(), subscription_id=await crew.id(), at="period_end"
    )
    result = await crew.world.does(ending)
    assert result["subscription"]["cancel_at_period_end"] is True
    assert result["subscription"]["scheduled_change"] is None
    code, details = await crew.world.refuses(await crew.quantity(1, when="period_end"))
    assert (code, details["cancel_at_period_end"]) == ("subscription_not_active", True)
    await crew.reaches(FEBRUARY + timedelta(hours=2))
    assert (await crew.world.subscription())["status"] == "canceled"


async def test_a_retry_finishes_scheduling_after_a_crash(crew: Crew) -> None:
    await crew.begins()
    command = await crew.quantity(1)
    crew.world.stand_in.goes_away_after(1)
    assert (await crew.world.bound.handle(command, datetime.now(UTC))).status == "failed"
    crew.world.stand_in.comes_back()
    await crew.world.catches_up()
    result = await crew.world.does(command)
    assert result["scheduled_change"]["quantity"] == 1
    assert await crew.world.names("subscription") == ["createdV1", "activatedV1", "changeScheduledV1"]
    schedules = crew.world.stripe.v1.subscription_schedules.list({"customer": crew.theirs}).data
    assert [(schedule.status, len(schedule.phases)) for schedule in schedules] == [("active", 2)]
    await crew.reaches(FEBRUARY + timedelta(hours=2))
    assert bought(await crew.world.subscription()) == [("crew_volume", 1)]
