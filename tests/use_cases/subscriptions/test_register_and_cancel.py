"""Registration, free plans, cancellation and queries, with and without payments configured."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.subscriptions.lifecycle import renewal
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer
from tests.support.worlds.subscriptions import ACME, OpenShop, World, gapless

# Raised by how the Stripe SDK calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

ANN = Customer(type="user", id="ann")
END_OF_JANUARY = datetime(2026, 1, 31, 9, tzinfo=UTC)


@pytest.fixture
async def world(shop: World) -> World:
    """A shop without a registered customer."""
    return shop


@pytest.fixture
async def unpaid(open_shop: OpenShop) -> World:
    """The same without a Stripe key."""
    return await open_shop(key=None)


def free(world: World, customer: Customer = ACME) -> m.CreateSubscription:
    return m.CreateSubscription(
        command_id=world.command_id(), customer=customer, items=[m.ItemToBuy(price="solo_free")]
    )


def cancel(world: World, subscription: dict[str, Any], at: Any = "now") -> m.CancelSubscription:
    return m.CancelSubscription(
        command_id=world.command_id(), subscription_id=subscription["subscription_id"], at=at
    )


async def subscribed_for_free(world: World, now: datetime = END_OF_JANUARY) -> dict[str, Any]:
    await world.register()
    outcome = await world.bound.handle(free(world), now)
    assert outcome.result is not None, outcome.error
    return m.SubscriptionFound.model_validate(outcome.result, strict=False).subscription.model_dump(
        mode="json"
    )


# --- Customers ---------------------------------------------------------------------------------------------


async def test_a_customer_is_registered_here_and_in_stripe(world: World) -> None:
    customer = await world.register(name="Acme", metadata={"billing_manager": "ann"})

    theirs = world.stripe.v1.customers.retrieve(customer["stripe_customer_id"])
    assert (theirs.email, theirs.name) == ("pay@acme.example", "Acme")
    [(name, body)] = await world.told("customer")
    assert name == "createdV1"
    assert body["customer"] == customer
    assert (customer["type"], customer["id"], customer["version"]) == ("organization", "acme", 1)
    assert await world.asks(m.GetCustomer(customer=ACME)) == {"customer": customer}


async def test_registering_again_changes_what_differs_and_only_that(world: World) -> None:
    first = await world.register(name="Acme", metadata={"tier": "gold"})

    assert await world.register(name="Acme") == first
    changed = await world.register(name="Acme Ltd")

    assert (changed["name"], changed["metadata"], changed["version"]) == ("Acme Ltd", {"tier": "gold"}, 2)
    assert await world.names("customer") == ["createdV1", "updatedV1"]
    assert world.stripe.v1.customers.retrieve(first["stripe_customer_id"]).name == "Acme Ltd"


async def test_without_payments_a_customer_has_no_counterpart(unpaid: World) -> None:
    assert (await unpaid.register())["stripe_customer_id"] is None


async def test_a_stripe_customer_belongs_to_one_of_ours(world: World) -> None:
    taken = (await world.register())["stripe_customer_id"]
    mine = m.RegisterCustomer(
        command_id=world.command_id(), customer=ANN, email="ann@x.example", stripe_customer_id=taken
    )
    other = world.stripe.v1.customers.create({"email": "b@x.example"})
    second = m.RegisterCustomer(
        command_id=world.command_id(), customer=ACME, email="a@x.example", stripe_customer_id=other.id
    )

    assert await world.refuses(mine) == ("stripe_customer_taken", {"stripe_customer_id": taken})
    assert (await world.refuses(second))[0] == "stripe_customer_taken"


async def test_a_stripe_customer_that_does_not_exist_cannot_be_adopted(world: World) -> None:
    command = m.RegisterCustomer(
        command_id=world.command_id(), customer=ANN, email="a@x.example", stripe_customer_id="cus_nobody"
    )

    assert await world.refuses(command) == ("not_found", {"stripe_customer_id": "cus_nobody"})
    assert await world.told("customer") == []


async def test_of_two_registrations_at_once_one_is_the_first(world: World) -> None:
    await asyncio.gather(*(world.register() for _ in range(4)))

    assert (await world.names("customer")).count("createdV1") == 1
    assert gapless(await world.told("customer"), "customer", "customer_id")


async def test_a_checkout_needs_payments(unpaid: World) -> None:
    await unpaid.register()

    assert (await unpaid.refuses(unpaid.checkout()))[0] == "payments_not_configured"


# --- Free plans --------------------------------------------------------------------------------------------


async def test_a_free_plan_is_active_at_once_and_needs_no_stripe(unpaid: World) -> None:
    subscription = await subscribed_for_free(unpaid)

    assert (subscription["status"], subscription["collection"], subscription["stripe_subscription_id"]) == (
        "active",
        "none",
        None,
    )
    assert subscription["current_period_start"] == "2026-01-31T09:00:00Z"
    assert subscription["current_period_end"] == "2026-02-28T09:00:00Z"
    assert await unpaid.names("subscription") == ["createdV1", "activatedV1"]
    assert (await unpaid.allowed("hours"))["quantity"] == 5


@pytest.mark.parametrize("collection", ["none", "automatic", "invoice"])
async def test_a_free_plan_collects_nothing_whatever_is_asked(unpaid: World, collection: Any) -> None:
    await unpaid.register()
    command = free(unpaid).model_copy(update={"collection": collection})

    assert (await unpaid.does(command))["subscription"]["collection"] == "none"


async def test_a_free_plan_is_had_once(unpaid: World) -> None:
    held = await subscribed_for_free(unpaid)

    assert await unpaid.refuses(free(unpaid)) == (
        "already_subscribed",
        {"subscription_id": held["subscription_id"]},
    )


async def test_of_two_subscriptions_at_once_one_is_refused(unpaid: World) -> None:
    await unpaid.register()

    outcomes = await asyncio.gather(*(unpaid.bound.handle(free(unpaid)) for _ in range(5)))

    assert sorted(outcome.status for outcome in outcomes) == ["rejected"] * 4 + ["succeeded"]


async def test_what_costs_money_is_not_had_for_free(unpaid: World) -> None:
    await unpaid.register()
    command = m.CreateSubscription(
        command_id=unpaid.command_id(), customer=ACME, items=[m.ItemToBuy(price="solo_monthly")]
    )

    assert (await unpaid.refuses(command))[0] == "payments_not_configured"


async def test_a_tick_renews_a_free_plan_once_however_late_it_comes(unpaid: World) -> None:
    await subscribed_for_free(unpaid)

    await unpaid.bound.tick("move_periods", datetime(2026, 2, 28, 8, 59, tzinfo=UTC))
    assert "renewedV1" not in await unpaid.names("subscription")
    for _ in range(2):
        await unpaid.bound.tick("move_periods", datetime(2026, 5, 2, tzinfo=UTC))

    subscription = await unpaid.subscription()
    assert subscription["current_period_start"] == "2026-04-30T09:00:00Z"
    assert subscription["current_period_end"] == "2026-05-31T09:00:00Z"
    assert await unpaid.names("subscription") == ["createdV1", "activatedV1", "renewedV1"]
    assert await unpaid.names("entitlement") == ["changedV1", "changedV1"]


async def test_a_free_plan_cancelled_at_period_end_stays_until_then(unpaid: World) -> None:
    subscription = await subscribed_for_free(unpaid)
    await unpaid.does(cancel(unpaid, subscription, "period_end"))
    again = await unpaid.does(cancel(unpaid, subscription, "period_end"))

    assert again["subscription"]["cancel_at_period_end"] is True
    assert await unpaid.names("subscription") == ["createdV1", "activatedV1", "cancelScheduledV1"]
    assert await unpaid.allowed("transcription") == {
        "allowed": True,
        "quantity": None,
        "sources": [
            {"subscription_id": subscription["subscription_id"], "product": "solo", "through": "owner"}
        ],
        "expires_at": "2026-02-28T09:00:00Z",
    }

    await unpaid.bound.tick("move_periods", datetime(2026, 2, 28, 9, tzinfo=UTC))
    ended = await unpaid.subscription()
    assert (ended["status"], ended["ended_at"]) == ("canceled", "2026-02-28T09:00:00Z")
    assert (await unpaid.allowed("transcription"))["allowed"] is False
    assert await unpaid.bucket() == {}
    assert gapless(await unpaid.told("entitlement"), "entitlement", "entitlement_id")


async def test_versions_of_an_entitlement_go_on_after_it_was_gone(unpaid: World) -> None:
    subscription = await subscribed_for_free(unpaid)
    await unpaid.does(cancel(unpaid, subscription))
    assert await unpaid.bucket() == {}

    await unpaid.does(free(unpaid))

    assert (await unpaid.bucket())["organization_acme.transcription"]["version"] == 3


# --- Cancelling in Stripe ----------------------------------------------------------------------------------


async def test_cancelling_now_ends_it_here_and_in_stripe(world: World) -> None:
    await world.register()
    await world.buys()
    await world.catches_up()
    subscription = await world.subscription()

    result = await world.does(cancel(world, subscription))

    assert result["subscription"]["status"] == "canceled"
    theirs = world.stripe.v1.subscriptions.retrieve(subscription["stripe_subscription_id"])
    assert theirs.status == "canceled"
    await world.catches_up()
    assert (await world.names("subscription")).count("canceledV1") == 1
    assert await world.refuses(cancel(world, subscription)) == (
        "subscription_ended",
        {"subscription_id": subscription["subscription_id"]},
    )


async def test_cancelling_at_period_end_is_stripe_s_to_carry_out(world: World) -> None:
    await world.register()
    await world.buys()
    await world.catches_up()
    subscription = await world.subscription()

    result = await world.does(cancel(world, subscription, "period_end"))
    await world.catches_up()

    assert (result["subscription"]["status"], result["subscription"]["cancel_at_period_end"]) == (
        "active",
        True,
    )
    assert (await world.names("subscription")) == ["createdV1", "activatedV1", "cancelScheduledV1"]
    allowed = await world.allowed("transcription")
    assert (allowed["allowed"], allowed["expires_at"]) == (True, subscription["current_period_end"])


async def test_a_subscription_ended_in_stripe_can_be_cancelled(world: World) -> None:
    await world.register()
    await world.buys()
    await world.catches_up()
    subscription = await world.subscription()
    world.stripe.v1.subscriptions.cancel(subscription["stripe_subscription_id"])

    code, _ = await world.refuses(cancel(world, subscription, "period_end"))
    result = await world.does(cancel(world, subscription, "now"))

    assert (code, result["subscription"]["status"]) == ("subscription_ended", "canceled")


async def test_an_event_that_overtakes_the_answer_is_not_undone_by_it(world: World) -> None:
    await world.register()
    await world.buys("team_yearly", quantity=3)
    await world.catches_up()
    subscription = await world.subscription()
    theirs = world.stripe.v1.subscriptions.retrieve(subscription["stripe_subscription_id"])
    command = cancel(world, subscription, "period_end")
    world.stand_in.goes_away_after(0)
    assert (await world.bound.handle(command, datetime.now(UTC))).status == "failed"
    world.stand_in.comes_back()
    # Stripe has done it, but the answer was lost: asked again with the same key, it gives the same answer.
    world.stripe.v1.subscriptions.update(
        theirs.id,
        {"cancel_at_period_end": True},
        {"idempotency_key": f"subscriptions:{command.command_id}:cancel"},
    )
    world.stripe.v1.subscriptions.update(
        theirs.id, {"items": [{"id": theirs.items.data[0].id, "quantity": 8}]}
    )
    await world.catches_up()

    result = await world.does(command)

    assert result["subscription"]["items"][0]["quantity"] == 8
    assert result["subscription"]["cancel_at_period_end"] is True


async def test_a_subscription_that_nobody_made_is_not_found(world: World) -> None:
    command = m.CancelSubscription(command_id="x", subscription_id="sub_nobody", at="now")

    assert (await world.refuses(command))[0] == "not_found"


# --- Questions ---------------------------------------------------------------------------------------------


async def test_a_customers_newest_live_subscription_is_returned(unpaid: World) -> None:
    first = await subscribed_for_free(unpaid)
    await unpaid.does(cancel(unpaid, first))
    assert (await unpaid.subscription())["subscription_id"] == first["subscription_id"]

    second = (await unpaid.does(free(unpaid)))["subscription"]

    assert (await unpaid.subscription())["subscription_id"] == second["subscription_id"]
    listed = await unpaid.asks(m.ListSubscriptions(customer=ACME, limit=1))
    assert [item["subscription_id"] for item in listed["items"]] == [second["subscription_id"]]
    cursor = listed["next_cursor"]
    rest = await unpaid.asks(m.ListSubscriptions(customer=ACME, limit=1, cursor=cursor))
    assert [item["subscription_id"] for item in rest["items"]] == [first["subscription_id"]]
    ended = await unpaid.asks(m.ListSubscriptions(status="canceled"))
    assert [item["subscription_id"] for item in ended["items"]] == [first["subscription_id"]]


@pytest.mark.parametrize(
    "cursor", ["nonsense", "W10", "%%%", "eyJhIjoxfQ", "WzFd", "WyJcdWQ4MDAiXQ", "WyJcdTAwMDAiXQ"]
)
async def test_a_cursor_that_no_page_gave_is_invalid(unpaid: World, cursor: str) -> None:
    for question in (
        m.ListSubscriptions(cursor=cursor),
        m.ListInvoices(customer=ACME, cursor=cursor),
        m.ListEntitlements(customer=ACME, cursor=cursor),
    ):
        outcome = await unpaid.bound.handle(question)
        assert outcome.error is not None
        assert outcome.error.code == "invalid_message"


async def test_who_is_not_registered_is_not_found(unpaid: World) -> None:
    for question in (m.GetCustomer(customer=ANN), m.GetSubscription(customer=ANN)):
        outcome = await unpaid.bound.handle(question)
        assert outcome.error is not None
        assert outcome.error.code == "not_found"
    assert (await unpaid.allowed("hours", ANN))["allowed"] is False


async def test_one_tick_renews_more_customers_than_fit_one_batch(
    unpaid: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewal, "RENEWALS_BATCH", 50)
    customers = [Customer(type="user", id=f"u{number}") for number in range(120)]
    for customer in customers:
        await unpaid.register(customer)
        await unpaid.bound.handle(free(unpaid, customer), END_OF_JANUARY)

    await unpaid.bound.tick("move_periods", END_OF_JANUARY + timedelta(days=28))

    assert (await unpaid.names("subscription")).count("renewedV1") == 120
