"""The hourly reconciliation with Stripe, which finds what no event reported, and the weekly cleanup."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.worlds.subscriptions import World, gapless

# Raised by how the Stripe SDK calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

TICK = datetime(2026, 6, 1, 12, tzinfo=UTC)
CAUSE = "subscriptions.sync_stripe 2026-06-01T12:00:00Z"


async def bought(world: World) -> dict[str, Any]:
    await world.buys()
    await world.catches_up()
    return await world.subscription()


async def test_an_unheard_change_in_stripe_is_corrected_with_a_cause(world: World) -> None:
    subscription = await bought(world)
    world.stripe.v1.subscriptions.update(
        subscription["stripe_subscription_id"], {"cancel_at_period_end": True}
    )

    for _ in range(2):
        await world.bound.tick("sync_stripe", TICK)

    assert (await world.subscription())["cancel_at_period_end"] is True
    told = await world.told("subscription")
    assert [(name, body["caused_by"]) for name, body in told][2:] == [("cancelScheduledV1", CAUSE)]
    await world.catches_up()
    assert len(await world.told("subscription")) == 3
    assert gapless(told, "subscription", "subscription_id")


async def test_what_has_ended_in_stripe_is_no_longer_listed_but_found(world: World) -> None:
    subscription = await bought(world)
    world.stripe.v1.subscriptions.cancel(subscription["stripe_subscription_id"])

    await world.bound.tick("sync_stripe", TICK)

    assert (await world.subscription())["status"] == "canceled"
    assert (await world.told("subscription"))[-1][1]["caused_by"] == CAUSE
    assert (await world.allowed("hours"))["allowed"] is False


async def test_what_stripe_has_forgotten_has_ended(world: World) -> None:
    subscription = await bought(world)
    world.stand_in.account.remove(
        world.stand_in.account.get("subscription", subscription["stripe_subscription_id"])
    )

    await world.bound.tick("sync_stripe", TICK)

    ended = await world.subscription()
    assert (ended["status"], ended["ended_at"]) == ("canceled", "2026-06-01T12:00:00Z")


async def test_a_subscription_that_we_never_heard_of_is_taken_in(world: World) -> None:
    await world.buys()

    await world.bound.tick("sync_stripe", TICK)

    assert (await world.subscription())["status"] == "active"
    assert await world.names("subscription") == ["createdV1", "activatedV1"]
    await world.catches_up()
    assert await world.names("subscription") == ["createdV1", "activatedV1"]


async def test_without_differences_nothing_is_emitted_or_fetched(world: World) -> None:
    await bought(world)
    before = len(await world.bound.outbox())

    await world.bound.tick("sync_stripe", TICK)

    assert len(await world.bound.outbox()) == before
    [row] = await world.bound.rows("SELECT synced_at, stripe_revision FROM subscriptions.subscriptions")
    assert row["synced_at"] == TICK


async def test_an_unheard_overdue_state_has_grace_from_its_discovery(world: World) -> None:
    subscription = await bought(world)
    stripe_id = subscription["stripe_subscription_id"]
    world.stand_in.account.get("subscription", stripe_id)["status"] = "past_due"

    await world.bound.tick("sync_stripe", TICK)

    found = await world.subscription()
    assert (found["status"], found["grace_until"]) == ("past_due", "2026-06-08T12:00:00Z")


async def test_a_first_payment_that_never_came_is_given_up(world: World) -> None:
    customer_id = (await world.register())["stripe_customer_id"]
    prices = world.stripe.v1.prices.list({"lookup_keys": ["solo_monthly"]})
    wanted: Any = {
        "customer": customer_id,
        "items": [{"price": prices.data[0].id}],
        "payment_behavior": "default_incomplete",
    }
    theirs = world.stripe.v1.subscriptions.create(wanted)
    await world.catches_up()
    assert (await world.subscription())["status"] == "incomplete"

    await world.bound.tick("clean_up", world.bound.now + timedelta(days=1))
    assert (await world.subscription())["status"] == "incomplete"
    for _ in range(2):
        await world.bound.tick("clean_up", world.bound.now + timedelta(days=3))

    assert (await world.subscription())["status"] == "expired"
    assert world.stripe.v1.subscriptions.retrieve(theirs.id).status == "incomplete_expired"
    assert (await world.names("subscription")).count("expiredV1") == 1


async def test_a_page_whose_end_nobody_has_told_of_is_no_longer_open(world: World) -> None:
    # A page is open for a day; a week later its end has gone unheard.
    await world.register()
    started = await world.does(world.checkout())
    ends = datetime.fromisoformat(started["expires_at"])
    assert ends - datetime.now(UTC) <= timedelta(days=1)
    status = "SELECT status FROM subscriptions.checkouts"

    await world.bound.tick("clean_up", ends + timedelta(days=7) - timedelta(minutes=1))
    assert await world.bound.rows(status) == [{"status": "open"}]
    await world.bound.tick("clean_up", ends + timedelta(days=7, minutes=1))
    assert await world.bound.rows(status) == [{"status": "expired"}]


async def test_events_that_waited_for_a_month_are_forgotten(world: World) -> None:
    prices = world.stripe.v1.prices.list({"lookup_keys": ["solo_monthly"]})
    stranger = world.stripe.v1.customers.create({"email": "x@y.example"})
    wanted: Any = {
        "customer": stranger.id,
        "items": [{"price": prices.data[0].id}],
        "payment_behavior": "default_incomplete",
    }
    world.stripe.v1.subscriptions.create(wanted)
    await world.catches_up()
    parked = "SELECT event_id FROM subscriptions.parked_events"
    assert await world.bound.rows(parked)

    await world.bound.tick("clean_up", world.bound.now + timedelta(days=29))
    assert await world.bound.rows(parked)
    await world.bound.tick("clean_up", world.bound.now + timedelta(days=30))

    assert await world.bound.rows(parked) == []
