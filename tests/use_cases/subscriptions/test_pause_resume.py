"""Reactivating, pausing and resuming, in Stripe and on self-managed periods."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tallystick.messages import subscriptions as m
from tests.support.worlds.plan_changes import FEBRUARY, NEW_YEAR, Crew
from tests.support.worlds.subscriptions import ACME, World, gapless

# Raised by how the Stripe SDK calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


async def bought(world: World) -> dict[str, Any]:
    await world.buys()
    await world.catches_up()
    return await world.subscription()


async def free(world: World, at: datetime | None = None) -> dict[str, Any]:
    command = m.CreateSubscription(
        command_id=world.command_id(), customer=ACME, items=[m.ItemToBuy(price="solo_free")]
    )
    outcome = await world.bound.handle(command, at or datetime.now(UTC))
    assert outcome.result is not None, outcome
    return await world.subscription()


def wish(world: World, kind: type[Any], subscription: dict[str, Any], **fields: Any) -> Any:
    return kind(command_id=world.command_id(), subscription_id=subscription["subscription_id"], **fields)


@pytest.mark.parametrize("make", [bought, free])
async def test_thinking_better_of_an_end_undoes_it(world: World, make: Any) -> None:
    subscription = await make(world)
    await world.does(wish(world, m.CancelSubscription, subscription, at="period_end"))
    assert (await world.allowed("hours"))["expires_at"] == subscription["current_period_end"]

    result = await world.does(wish(world, m.ReactivateSubscription, subscription))
    await world.catches_up()

    found = result["subscription"]
    assert (found["status"], found["cancel_at_period_end"], found["canceled_at"]) == ("active", False, None)
    assert (await world.names("subscription"))[2:] == ["cancelScheduledV1", "reactivatedV1"]
    assert (await world.allowed("hours"))["expires_at"] is None
    if subscription["stripe_subscription_id"]:
        theirs = world.stripe.v1.subscriptions.retrieve(subscription["stripe_subscription_id"])
        assert theirs.cancel_at_period_end is False


@pytest.mark.parametrize("make", [bought, free])
async def test_only_what_is_to_end_can_be_reactivated(world: World, make: Any) -> None:
    subscription = await make(world)
    mine = {"subscription_id": subscription["subscription_id"]}

    assert await world.refuses(wish(world, m.ReactivateSubscription, subscription)) == (
        "subscription_not_canceling",
        mine,
    )
    await world.does(wish(world, m.CancelSubscription, subscription, at="now"))
    assert await world.refuses(wish(world, m.ReactivateSubscription, subscription)) == (
        "subscription_ended",
        mine,
    )


async def test_a_subscription_already_ended_in_stripe_stays_ended(world: World) -> None:
    subscription = await bought(world)
    await world.does(wish(world, m.CancelSubscription, subscription, at="period_end"))
    world.stripe.v1.subscriptions.cancel(subscription["stripe_subscription_id"])

    assert (await world.refuses(wish(world, m.ReactivateSubscription, subscription)))[
        0
    ] == "subscription_ended"


@pytest.mark.parametrize("make", [bought, free])
async def test_a_pause_takes_everything_and_its_end_gives_it_back(world: World, make: Any) -> None:
    subscription = await make(world)

    paused = await world.does(wish(world, m.PauseSubscription, subscription))
    await world.catches_up()
    assert paused["subscription"]["status"] == "paused"
    assert (await world.allowed("hours"))["allowed"] is False
    assert await world.bucket() == {}
    assert (await world.refuses(wish(world, m.PauseSubscription, subscription)))[
        0
    ] == "subscription_not_active"

    resumed = await world.does(wish(world, m.ResumeSubscription, subscription))
    await world.catches_up()
    assert resumed["subscription"]["status"] == "active"
    assert (await world.allowed("hours"))["quantity"] == 5
    assert (await world.refuses(wish(world, m.ResumeSubscription, subscription)))[
        0
    ] == "subscription_not_paused"
    assert (await world.names("subscription"))[2:] == ["pausedV1", "resumedV1"]
    assert gapless(await world.told("subscription"), "subscription", "subscription_id")


async def test_the_same_command_again_does_nothing_more(world: World) -> None:
    subscription = await bought(world)
    command = wish(world, m.PauseSubscription, subscription)

    assert await world.does(command) == await world.does(command)
    assert (await world.names("subscription")).count("pausedV1") == 1


async def test_a_paused_self_managed_period_ends_but_is_not_renewed(world: World) -> None:
    subscription = await free(world, datetime(2026, 1, 31, 9, tzinfo=UTC))
    pause = wish(world, m.PauseSubscription, subscription)
    await world.bound.handle(pause, datetime(2026, 2, 10, tzinfo=UTC))

    await world.bound.tick("move_periods", datetime(2026, 3, 1, tzinfo=UTC))
    assert (await world.subscription())["current_period_end"] == "2026-02-28T09:00:00Z"
    await world.does(wish(world, m.CancelSubscription, subscription, at="period_end"))
    await world.bound.tick("move_periods", datetime(2026, 3, 2, tzinfo=UTC))

    ended = await world.subscription()
    assert (ended["status"], ended["ended_at"]) == ("canceled", "2026-02-28T09:00:00Z")


async def test_nothing_is_ever_owed_for_a_pause(crew: Crew) -> None:
    # 3 at 10.00 for January and for March; February is paused.
    mine = await crew.begins()
    await crew.world.does(wish(crew.world, m.PauseSubscription, mine))
    await crew.reaches(FEBRUARY + timedelta(days=10))
    [theirs] = crew.world.stripe.v1.subscriptions.list({"customer": crew.theirs}).data
    assert (await crew.world.subscription())["status"] == "paused"

    await crew.world.does(wish(crew.world, m.ResumeSubscription, mine))
    await crew.reaches(datetime(2026, 3, 1, 2, tzinfo=UTC))

    invoices = (await crew.world.asks(m.ListInvoices(customer=ACME)))["items"]
    assert [(one["status"], one["total"]) for one in invoices] == [
        ("paid", 3000),
        ("void", 3000),
        ("paid", 3000),
    ]
    assert (await crew.world.subscription())["status"] == theirs.status == "active"


async def test_a_trial_paused_by_stripe_for_lack_of_a_card_is_resumed(crew: Crew) -> None:
    ending: Any = {"end_behavior": {"missing_payment_method": "pause"}}
    mine = await crew.begins(trial_period_days=5, trial_settings=ending)
    v1 = crew.world.stripe.v1
    for method in v1.payment_methods.list({"customer": crew.theirs}).data:
        v1.payment_methods.detach(method.id)
    await crew.reaches(NEW_YEAR + timedelta(days=6))
    assert (await crew.world.subscription())["status"] == "paused"
    crew.saves("pm_card_visa")

    command = wish(crew.world, m.ResumeSubscription, mine)
    result = await crew.world.does(command)
    assert await crew.world.does(command) == result
    await crew.world.catches_up()

    assert result["subscription"]["status"] == "active"
    again = await crew.world.subscription()
    assert (again["status"], again["current_period_end"]) == ("active", "2026-02-07T00:00:00Z")
    paid = [one["total"] for one in (await crew.world.asks(m.ListInvoices(customer=ACME)))["items"]]
    assert paid == [3000, 0]
