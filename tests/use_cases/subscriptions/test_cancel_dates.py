"""Ends of subscriptions that staff set by date in Stripe: within the period, at its end, in a later one."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tallystick.messages import subscriptions as m
from tests.support.worlds.plan_changes import Crew
from tests.support.worlds.subscriptions import gapless

# Raised by how the Stripe SDK calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

IN_PERIOD = datetime(2026, 1, 22, tzinfo=UTC)
FEBRUARY = datetime(2026, 2, 1, tzinfo=UTC)
IN_MARCH = datetime(2026, 3, 11, tzinfo=UTC)


def text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


async def ends_on(crew: Crew, moment: datetime | None) -> dict[str, Any]:
    """Staff set the date in Stripe, or take it back."""
    stripe_id = (await crew.world.subscription())["stripe_subscription_id"]
    date: Any = {"cancel_at": int(moment.timestamp()) if moment else ""}
    crew.world.stripe.v1.subscriptions.update(stripe_id, date)
    await crew.world.catches_up()
    return await crew.world.subscription()


@pytest.mark.parametrize(("moment", "is_flagged"), [(IN_PERIOD, True), (FEBRUARY, True), (IN_MARCH, False)])
async def test_the_date_is_told_as_stripe_has_it(crew: Crew, moment: datetime, is_flagged: bool) -> None:
    await crew.begins("solo_monthly", 1)
    found = await ends_on(crew, moment)
    assert (found["cancel_at"], found["cancel_at_period_end"]) == (text(moment), is_flagged)
    assert (await crew.world.names("subscription"))[2:] == ["cancelScheduledV1"]

    back = await ends_on(crew, None)
    assert (back["cancel_at"], back["cancel_at_period_end"], back["canceled_at"]) == (None, False, None)
    told = await crew.world.told("subscription")
    assert [name for name, _ in told][2:] == ["cancelScheduledV1", "reactivatedV1"]
    assert gapless(told, "subscription", "subscription_id")


async def test_another_date_is_an_update(crew: Crew) -> None:
    await crew.begins("solo_monthly", 1)
    await ends_on(crew, IN_MARCH)
    moved = await ends_on(crew, IN_PERIOD)
    assert (moved["cancel_at"], moved["cancel_at_period_end"]) == (text(IN_PERIOD), True)
    assert (await crew.world.names("subscription"))[2:] == ["cancelScheduledV1", "updatedV1"]


@pytest.mark.parametrize("moment", [IN_PERIOD, FEBRUARY, IN_MARCH])
async def test_it_ends_on_the_date(crew: Crew, moment: datetime) -> None:
    await crew.begins("solo_monthly", 1)
    await ends_on(crew, moment)
    if moment == IN_MARCH:
        await crew.reaches(FEBRUARY)
        running = await crew.world.subscription()
        assert (running["status"], running["cancel_at"]) == ("active", text(IN_MARCH))
    await crew.reaches(moment)
    ended = await crew.world.subscription()
    assert (ended["status"], ended["ended_at"]) == ("canceled", text(moment))
    assert (ended["cancel_at"], ended["cancel_at_period_end"]) == (None, False)


@pytest.mark.parametrize("moment", [IN_PERIOD, FEBRUARY, IN_MARCH])
async def test_reactivating_takes_the_date_back_in_stripe(crew: Crew, moment: datetime) -> None:
    await crew.begins("solo_monthly", 1)
    found = await ends_on(crew, moment)
    result = await crew.world.does(
        m.ReactivateSubscription(command_id=crew.world.command_id(), subscription_id=found["subscription_id"])
    )
    assert (result["subscription"]["cancel_at"], result["subscription"]["status"]) == (None, "active")
    theirs = crew.world.stripe.v1.subscriptions.retrieve(found["stripe_subscription_id"])
    assert (theirs.cancel_at, theirs.cancel_at_period_end) == (None, False)


async def test_a_plan_that_ends_in_march_can_end_with_this_period_instead(crew: Crew) -> None:
    await crew.begins("solo_monthly", 1)
    found = await ends_on(crew, IN_MARCH)
    result = await crew.world.does(
        m.CancelSubscription(
            command_id=crew.world.command_id(), subscription_id=found["subscription_id"], at="period_end"
        )
    )
    canceling = result["subscription"]
    assert (canceling["cancel_at"], canceling["cancel_at_period_end"]) == (text(FEBRUARY), True)
