"""From a checkout to an entitlement, against the Stripe stand-in through the real SDK."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from services.subscriptions.app import service
from services.subscriptions.checkout.start_checkout import Trials
from services.subscriptions.dunning.grace import Dunning
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer
from tests.support.catalogs import team_catalog
from tests.support.runtime import Bound
from tests.support.worlds.subscriptions import ACME, OpenShop, World, gapless

ANN = Customer(type="user", id="ann")

# Raised by how the Stripe SDK calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
async def world(shop: World) -> World:
    """A shop without a registered customer."""
    return shop


async def test_a_paid_checkout_becomes_active_with_entitlements(world: World) -> None:
    await world.register()
    await world.buys("solo_monthly")
    await world.catches_up()

    subscription = await world.subscription()
    assert (subscription["status"], subscription["collection"]) == ("active", "automatic")
    assert [(item["product"], item["price"], item["quantity"]) for item in subscription["items"]] == [
        ("solo", "solo_monthly", 1)
    ]
    told = await world.told("subscription")
    assert [(name, body["subscription"]["status"]) for name, body in told] == [
        ("createdV1", "incomplete"),
        ("activatedV1", "active"),
    ]
    assert gapless(told, "subscription", "subscription_id")
    assert await world.bucket() == {
        "organization_acme.hours": {
            "allowed": True,
            "quantity": 5,
            "sources": [
                {"subscription_id": subscription["subscription_id"], "product": "solo", "through": "owner"}
            ],
            "expires_at": None,
            "version": 1,
        },
        "organization_acme.transcription": {
            "allowed": True,
            "quantity": None,
            "sources": [
                {"subscription_id": subscription["subscription_id"], "product": "solo", "through": "owner"}
            ],
            "expires_at": None,
            "version": 1,
        },
    }
    assert {report["status"] for report in await world.reports()} == {"applied"}


async def test_the_invoice_of_a_checkout_is_told_and_listed(world: World) -> None:
    await world.register()
    await world.buys("solo_monthly")
    await world.catches_up()

    outcome = await world.asks(m.ListInvoices(customer=ACME))
    [invoice] = outcome["items"]
    assert (invoice["status"], invoice["total"], invoice["amount_paid"], invoice["currency"]) == (
        "paid",
        4900,
        4900,
        "eur",
    )
    assert invoice["subscription_id"] == (await world.subscription())["subscription_id"]
    assert [line["price"] for line in invoice["lines"]] == ["solo_monthly"]
    names = await world.names("invoice")
    assert (names[0], names[-1], names.count("paidV1")) == ("createdV1", "paidV1", 1)
    assert gapless(await world.told("invoice"), "invoice", "invoice_id")


async def test_a_second_checkout_is_rejected_while_the_first_is_open(world: World) -> None:
    await world.register()
    first = await world.does(world.checkout("solo_monthly"))

    code, details = await world.refuses(world.checkout("solo_monthly"))

    assert (code, details["checkout_url"]) == ("already_subscribed", first["checkout_url"])
    await world.does(world.checkout("team_yearly", quantity=3))


async def test_a_second_checkout_works_once_the_subscription_ended(
    world: World,
) -> None:
    await world.register()
    await world.buys("solo_monthly")
    await world.catches_up()
    held = (await world.subscription())["subscription_id"]

    assert await world.refuses(world.checkout("solo_monthly")) == (
        "already_subscribed",
        {"subscription_id": held},
    )
    await world.does(m.CancelSubscription(command_id=world.command_id(), subscription_id=held, at="now"))
    await world.buys("solo_monthly")
    await world.catches_up()
    assert (await world.subscription())["status"] == "active"
    assert (await world.subscription())["subscription_id"] != held


async def test_of_two_checkouts_at_once_one_is_refused(world: World) -> None:
    await world.register()
    commands = [world.checkout("solo_monthly") for _ in range(4)]

    outcomes = await asyncio.gather(*(world.bound.handle(command, datetime.now(UTC)) for command in commands))

    assert sorted(outcome.status for outcome in outcomes) == ["rejected"] * 3 + ["succeeded"]


async def test_an_expired_checkout_frees_its_plan(world: World) -> None:
    await world.register()
    started = await world.does(world.checkout("solo_monthly"))
    [session] = world.stripe.v1.checkout.sessions.list({"limit": 1}).data
    world.stripe.v1.checkout.sessions.expire(session.id)
    await world.catches_up()

    again = await world.does(world.checkout("solo_monthly"))

    assert again["checkout_id"] != started["checkout_id"]


async def test_an_expired_checkout_frees_its_plan_without_an_event(world: World) -> None:
    await world.register()
    await world.does(world.checkout("solo_monthly"))
    later = datetime.now(UTC) + timedelta(hours=25)

    outcome = await world.bound.handle(world.checkout("solo_monthly"), later)

    assert outcome.status == "succeeded", outcome.error


async def test_a_checkout_that_stripe_refuses_frees_its_plan(world: World) -> None:
    await world.register()

    code, details = await world.refuses(world.checkout("solo_monthly", promotion_code="NOBODY"))

    assert (code, details) == ("not_found", {"promotion_code": "NOBODY"})
    await world.does(world.checkout("solo_monthly"))


async def test_the_same_command_again_is_the_same_checkout(world: World) -> None:
    await world.register()
    command = world.checkout("solo_monthly")

    first, second = await world.does(command), await world.does(command)

    assert first == second


async def test_a_retry_after_a_crash_uses_the_same_checkout_session(world: World) -> None:
    await world.register()
    sessions_before = len(world.stripe.v1.checkout.sessions.list({"limit": 100}).data)
    command = world.checkout("solo_monthly")
    world.stand_in.goes_away_after(0)
    try:
        outcome = await world.bound.handle(command, datetime.now(UTC))
    finally:
        world.stand_in.comes_back()
    assert (outcome.status, outcome.error and outcome.error.code) == ("failed", "unavailable")

    await world.does(command)

    assert len(world.stripe.v1.checkout.sessions.list({"limit": 100}).data) == sessions_before + 1


async def test_who_is_not_registered_is_told_to_register(world: World) -> None:
    outcome = await world.bound.handle(world.checkout("solo_monthly"), datetime.now(UTC))

    assert outcome.error is not None
    assert outcome.error.code == "not_found"
    assert "register_customer" in outcome.error.message


@pytest.mark.parametrize(
    ("price", "quantity", "code"),
    [
        ("nothing", None, "unknown_price"),
        ("solo_free", None, "unknown_price"),
        ("team_yearly", 1001, "quantity_out_of_range"),
        ("solo_monthly", 2, "quantity_out_of_range"),
    ],
)
async def test_what_is_not_sold_like_that_is_refused(
    world: World, price: str, quantity: int | None, code: str
) -> None:
    await world.register()

    assert (await world.refuses(world.checkout(price, quantity=quantity)))[0] == code


async def test_what_people_sell_is_not_sold_on_a_page(open_shop: OpenShop) -> None:
    document = team_catalog()
    document["products"][0]["prices"][0]["listed"] = False
    world = await open_shop(document)
    await world.register()

    assert await world.refuses(world.checkout()) == ("unknown_price", {"price": "solo_monthly"})
    sold = m.CreateSubscription(
        command_id=world.command_id(),
        customer=ACME,
        items=[m.ItemToBuy(price="solo_monthly")],
        collection="invoice",
    )
    assert (await world.does(sold))["subscription"]["status"] == "active"


async def test_a_checkout_starts_a_trial_only_the_first_time(
    bind: Callable[..., Bound], world: World
) -> None:
    with_trial = World(bind(service, world.gateway, Trials(30), Dunning()), world.stand_in, world.gateway)
    with_trial._commands = 100
    with_trial._applied = world._applied
    await with_trial.register()
    await with_trial.buys("solo_monthly")
    await with_trial.catches_up()
    first = await with_trial.subscription()
    assert first["status"] == "trialing"
    assert await with_trial.names("subscription") == ["createdV1", "trialStartedV1"]
    assert (await with_trial.allowed("transcription"))["allowed"]

    now = with_trial.command_id()
    await with_trial.does(
        m.CancelSubscription(command_id=now, subscription_id=first["subscription_id"], at="now")
    )
    await with_trial.buys("solo_monthly")
    await with_trial.catches_up()

    assert (await with_trial.subscription())["status"] == "active"

    # The seller may give another trial, or none at all.
    for customer, trial, status in ((ACME, True, "trialing"), (ANN, False, "active")):
        mine = await with_trial.subscription(ACME)
        await with_trial.register(customer)
        if customer == ACME:
            again, about = with_trial.command_id(), mine["subscription_id"]
            await with_trial.does(m.CancelSubscription(command_id=again, subscription_id=about, at="now"))
        await with_trial.buys("solo_monthly", customer=customer, trial=trial)
        await with_trial.catches_up()
        assert (await with_trial.subscription(customer))["status"] == status


async def test_stripe_s_own_id_of_a_promotion_code_is_taken(world: World) -> None:
    # 20% off 49.00 is 39.20.
    coupon = world.stripe.v1.coupons.create({"percent_off": 20, "duration": "once"}).id
    code = world.stripe.v1.promotion_codes.create({"promotion": {"type": "coupon", "coupon": coupon}})
    await world.register()

    await world.buys("solo_monthly", promotion_code=code.id)
    await world.catches_up()

    [invoice] = (await world.asks(m.ListInvoices(customer=ACME)))["items"]
    assert (invoice["status"], invoice["total"]) == ("paid", 3920)


async def test_two_subscriptions_add_up(world: World) -> None:
    await world.register()
    await world.buys("solo_monthly")
    await world.buys("team_yearly", quantity=3)
    await world.catches_up()

    # solo: 5 hours; team: 5 for the payer, none from the seat that nobody claims; members: 10 from the team.
    assert (await world.allowed("hours"))["quantity"] == 10
    assert (await world.allowed("members"))["quantity"] == 10
    assert (await world.allowed("transcription"))["allowed"] is True
    assert (await world.allowed("unheard_of")) == {
        "allowed": False,
        "quantity": 0,
        "sources": [],
        "expires_at": None,
    }
    outcome = await world.asks(m.ListEntitlements(customer=ACME, limit=2))
    assert [item["feature"] for item in outcome["items"]] == ["hours", "members"]
    rest = await world.asks(m.ListEntitlements(customer=ACME, limit=2, cursor=outcome["next_cursor"]))
    assert [item["feature"] for item in rest["items"]] == ["transcription"]
    assert rest["next_cursor"] is None
