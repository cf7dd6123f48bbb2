"""create_subscription: on a saved card, by invoice, in trial, and with a self-managed period."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer
from tallystick.messages.catalog import ApplyCatalog
from tests.support.catalogs import team_catalog
from tests.support.worlds.subscriptions import ACME, World, gapless

# Raised by how the Stripe SDK calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def world(shop: World) -> World:
    """A shop without a registered customer."""
    return shop


def create(world: World, price: str = "solo_monthly", **fields: Any) -> m.CreateSubscription:
    items = [m.ItemToBuy(price=price, quantity=fields.pop("quantity", None))]
    return m.CreateSubscription(command_id=world.command_id(), customer=ACME, items=items, **fields)


async def with_card(world: World, card: str = "pm_card_visa") -> str:
    """Register a customer with a saved card; return the Stripe customer id."""
    customer_id: str = (await world.register())["stripe_customer_id"]
    method = world.stripe.v1.payment_methods.attach(card, {"customer": customer_id})
    settings: Any = {"invoice_settings": {"default_payment_method": method.id}}
    world.stripe.v1.customers.update(customer_id, settings)
    return customer_id


async def on_a_clock(world: World) -> tuple[str, str]:
    """A registered customer without a card, on a test clock that begins in January 2026."""
    clock = world.stripe.v1.test_helpers.test_clocks.create({"frozen_time": int(JANUARY.timestamp())})
    theirs = world.stripe.v1.customers.create({"email": "pay@acme.example", "test_clock": clock.id})
    await world.register(stripe_customer_id=theirs.id)
    return clock.id, theirs.id


async def reaches(world: World, clock: str, moment: datetime) -> None:
    params: Any = {"frozen_time": int(moment.timestamp())}
    world.stripe.v1.test_helpers.test_clocks.advance(clock, params)
    await world.catches_up()


# --- On the saved card -------------------------------------------------------------------------------------


async def test_the_saved_card_is_charged_and_it_is_active(world: World) -> None:
    customer_id = await with_card(world)

    made = (await world.does(create(world)))["subscription"]
    await world.catches_up()

    assert (made["status"], made["collection"]) == ("active", "automatic")
    assert await world.names("subscription") == ["createdV1", "activatedV1"]
    [invoice] = world.stripe.v1.invoices.list({"customer": customer_id}).data
    assert (invoice.status, invoice.amount_paid) == ("paid", 4900)
    assert (await world.allowed("hours"))["quantity"] == 5


async def test_a_repeated_command_makes_one_subscription_and_charge(world: World) -> None:
    customer_id = await with_card(world)
    command = create(world)

    first, second = await world.does(command), await world.does(command)

    assert first == second
    assert len(world.stripe.v1.invoices.list({"customer": customer_id}).data) == 1


async def test_of_two_concurrent_creations_one_is_rejected(world: World) -> None:
    customer_id = await with_card(world)

    outcomes = await asyncio.gather(*(world.bound.handle(create(world)) for _ in range(3)))

    assert sorted(outcome.status for outcome in outcomes) == ["rejected", "rejected", "succeeded"]
    assert {outcome.error.code for outcome in outcomes if outcome.error} == {"already_subscribed"}
    assert len(world.stripe.v1.subscriptions.list({"customer": customer_id}).data) == 1


async def test_the_next_period_is_charged_to_the_current_default_card(world: World) -> None:
    clock, customer_id = await on_a_clock(world)
    first = world.stripe.v1.payment_methods.attach("pm_card_visa", {"customer": customer_id})
    by_default: Any = {"invoice_settings": {"default_payment_method": first.id}}
    world.stripe.v1.customers.update(customer_id, by_default)
    await world.does(create(world))
    second = world.stripe.v1.payment_methods.attach("pm_card_mastercard", {"customer": customer_id})
    by_default["invoice_settings"]["default_payment_method"] = second.id
    world.stripe.v1.customers.update(customer_id, by_default)

    await reaches(world, clock, JANUARY + timedelta(days=31, hours=2))

    charges = world.stripe.v1.charges.list({"customer": customer_id}).data
    assert [(charge.payment_method, charge.amount) for charge in charges] == [
        (second.id, 4900),
        (first.id, 4900),
    ]


async def test_without_a_card_nothing_is_made_and_the_plan_stays_free(world: World) -> None:
    await world.register()

    assert await world.refuses(create(world)) == ("payment_method_required", {"customer": ACME.token})
    await world.does(world.checkout())


async def test_a_card_that_is_declined_leaves_nothing_behind(world: World) -> None:
    customer_id = await with_card(world, "pm_card_chargeCustomerFail")

    code, details = await world.refuses(create(world))
    await world.catches_up()

    assert (code, details) == ("payment_failed", {"stripe_code": "card_declined"})
    assert world.stripe.v1.subscriptions.list({"customer": customer_id}).data == []
    assert await world.told("subscription") == []
    await world.does(world.checkout())


async def test_an_answer_that_was_lost_is_found_by_the_next_try(world: World) -> None:
    customer_id = await with_card(world)
    command = create(world)
    world.stand_in.goes_away_after(0)
    assert (await world.bound.handle(command, datetime.now(UTC))).status == "failed"
    world.stand_in.comes_back()

    assert (await world.does(command))["subscription"]["status"] == "active"
    assert len(world.stripe.v1.subscriptions.list({"customer": customer_id}).data) == 1


# --- By invoice --------------------------------------------------------------------------------------------


async def test_an_invoice_is_sent_and_it_is_active_at_once(world: World) -> None:
    customer_id = (await world.register())["stripe_customer_id"]

    made = (await world.does(create(world, "team_yearly", quantity=3, collection="invoice")))["subscription"]
    await world.catches_up()

    assert (made["status"], made["collection"]) == ("active", "invoice")
    [invoice] = world.stripe.v1.invoices.list({"customer": customer_id}).data
    assert (invoice.collection_method, invoice.total) == ("send_invoice", 30000)
    assert (await world.refuses(create(world, "team_yearly", quantity=3, collection="invoice")))[
        0
    ] == "already_subscribed"


# --- Trials ------------------------------------------------------------------------------------------------


async def test_a_trial_without_a_card_expires_with_its_entitlements(world: World) -> None:
    clock, _ = await on_a_clock(world)

    made = (await world.does(create(world, trial_days=14)))["subscription"]
    assert (made["status"], made["trial_end"]) == ("trialing", "2026-01-15T00:00:00Z")
    await world.catches_up()
    assert (await world.allowed("hours"))["quantity"] == 5
    for day in (11, 12, 15):
        await world.bound.tick("send_reminders", JANUARY + timedelta(days=day))
        await reaches(world, clock, JANUARY + timedelta(days=day, hours=2))

    assert (await world.subscription())["status"] == "expired"
    assert await world.names("subscription") == [
        "createdV1",
        "trialStartedV1",
        "trialEndingV1",
        "expiredV1",
    ]
    assert await world.bucket() == {}
    assert (await world.allowed("hours"))["allowed"] is False


async def test_a_trial_with_a_card_is_paid_for_at_its_end(world: World) -> None:
    clock, customer_id = await on_a_clock(world)
    method = world.stripe.v1.payment_methods.attach("pm_card_visa", {"customer": customer_id})
    await world.does(create(world, trial_days=14))

    await reaches(world, clock, JANUARY + timedelta(days=14, hours=2))

    subscription = await world.subscription()
    assert (subscription["status"], subscription["current_period_end"]) == ("active", "2026-02-15T00:00:00Z")
    paid = [body["invoice"]["total"] for name, body in await world.told("invoice") if name == "paidV1"]
    assert paid == [0, 4900]
    assert method.id is not None


async def test_a_trial_that_is_followed_by_an_invoice_needs_no_card(world: World) -> None:
    clock, customer_id = await on_a_clock(world)
    await world.does(create(world, trial_days=14, collection="invoice"))

    await reaches(world, clock, JANUARY + timedelta(days=14, hours=2))

    assert (await world.subscription())["status"] == "active"
    totals = [invoice.total for invoice in world.stripe.v1.invoices.list({"customer": customer_id}).data]
    assert totals == [4900, 0]


async def test_an_invoice_past_its_due_date_starts_grace(world: World) -> None:
    clock, _ = await on_a_clock(world)
    await world.does(create(world, "team_yearly", quantity=1, collection="invoice"))

    await reaches(world, clock, JANUARY + timedelta(days=31))

    late = await world.subscription()
    assert late["status"] == "past_due"
    assert late["grace_until"] is not None
    assert late["restricted"] is False


# --- On the customer's own period --------------------------------------------------------------------------


async def test_a_subscription_paid_outside_runs_without_stripe(world: World) -> None:
    await world.register()
    world.stand_in.forget_writes()

    made = (
        await world.does(
            create(
                world,
                "team_yearly",
                quantity=3,
                collection="none",
                period_start=datetime(2026, 3, 15, tzinfo=UTC),
            )
        )
    )["subscription"]

    assert (made["status"], made["collection"], made["stripe_subscription_id"]) == ("active", "none", None)
    assert (made["current_period_start"], made["current_period_end"]) == (
        "2026-03-15T00:00:00Z",
        "2027-03-15T00:00:00Z",
    )
    assert world.stand_in.writes == []
    await world.bound.tick("move_periods", datetime(2027, 3, 15, tzinfo=UTC))
    assert (await world.subscription())["current_period_end"] == "2028-03-15T00:00:00Z"
    assert await world.names("subscription") == ["createdV1", "activatedV1", "renewedV1"]


@pytest.mark.parametrize(
    ("start", "is_taken"),
    [
        (timedelta(days=36_525), True),
        (timedelta(days=36_526), False),
        (datetime(9999, 12, 31, tzinfo=UTC), False),
        (datetime(1, 1, 1, tzinfo=UTC), True),
    ],
)
async def test_the_start_of_a_self_managed_period_is_bounded(
    world: World, start: datetime | timedelta, is_taken: bool
) -> None:
    await world.register()
    begun = start if isinstance(start, datetime) else datetime.now(UTC) + start
    command = create(world, collection="none", period_start=begun)

    if not is_taken:
        assert await world.refuses(command) == ("invalid_message", {"field": "period_start"})
        return
    await world.does(command)
    # However long ago, the first tick finds the period it is in.
    await world.bound.tick("move_periods", datetime(2026, 2, 15, tzinfo=UTC))
    mine = await world.subscription()
    if begun.year == 1:
        assert mine["current_period_end"] == "2026-03-01T00:00:00Z"


async def test_a_trial_of_our_own_becomes_a_subscription_by_the_tick(world: World) -> None:
    await world.register()
    await world.does(create(world, collection="none", trial_days=14, period_start=JANUARY))

    await world.bound.tick("end_trials", JANUARY + timedelta(days=13))
    assert (await world.subscription())["status"] == "trialing"
    for job in ("end_trials", "move_periods", "end_trials"):
        await world.bound.tick(job, JANUARY + timedelta(days=14))

    subscription = await world.subscription()
    assert (
        subscription["status"],
        subscription["current_period_start"],
        subscription["current_period_end"],
    ) == (
        "active",
        "2026-01-15T00:00:00Z",
        "2026-02-15T00:00:00Z",
    )
    assert await world.names("subscription") == ["createdV1", "trialStartedV1", "activatedV1"]
    assert gapless(await world.told("subscription"), "subscription", "subscription_id")


async def test_many_are_renewed_together_each_with_its_own_event(world: World) -> None:
    for number in range(7):
        customer = Customer(type="user", id=f"u{number}")
        await world.register(customer)
        command = create(world, collection="none", period_start=JANUARY).model_copy(
            update={"customer": customer}
        )
        await world.does(command)

    for _ in range(2):
        await world.bound.tick("move_periods", datetime(2026, 2, 1, tzinfo=UTC))

    told = await world.told("subscription")
    renewed = [body for name, body in told if name == "renewedV1"]
    assert sorted(body["customer"]["id"] for body in renewed) == [f"u{number}" for number in range(7)]
    assert {body["subscription"]["current_period_end"] for body in renewed} == {"2026-03-01T00:00:00Z"}
    assert gapless(told, "subscription", "subscription_id")
    for body in renewed:
        assert body["subscription"] == await world.subscription(Customer.model_validate(body["customer"]))


async def test_a_renewal_takes_over_what_the_catalog_says_by_then(world: World) -> None:
    await world.register()
    await world.does(create(world, collection="none", period_start=JANUARY))
    document = team_catalog()
    document["products"][0]["features"][1]["quantity"] = 8
    await world.does(ApplyCatalog(command_id=world.command_id(), catalog=document))
    assert (await world.allowed("hours"))["quantity"] == 5

    await world.bound.tick("move_periods", datetime(2026, 2, 1, tzinfo=UTC))

    assert (await world.allowed("hours"))["quantity"] == 8
    assert (await world.names("subscription"))[2:] == ["renewedV1"]


async def test_only_what_is_paid_outside_has_a_period_of_its_own(world: World) -> None:
    await with_card(world)

    assert (await world.refuses(create(world, period_start=JANUARY)))[0] == "invalid_message"
