"""Add-ons, against the Stripe stand-in through the real SDK, and free ones without."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.subscriptions.app import service
from services.subscriptions.checkout.start_checkout import Trials
from services.subscriptions.dunning.grace import Dunning
from services.subscriptions.stripe.client import StripeGateway
from tallystick.messages import catalog
from tallystick.messages import subscriptions as m
from tests.support.catalogs import team_catalog
from tests.support.runtime import NOON, Bound
from tests.support.worlds.subscriptions import ACME, OpenShop, World, gapless

# Raised by how the Stripe SDK calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
DETAILS = {"domain_name": "Shop.example"}


def shop_catalog() -> dict[str, Any]:
    """Two plans and three add-ons: a domain a year, three more hours a month, a free badge."""
    document = team_catalog()
    document["features"] += [
        {"code": "custom_domain", "name": "Own domain", "kind": "flag"},
        {"code": "badge", "name": "Badge", "kind": "flag"},
    ]
    yearly = {"model": "flat", "currency": "eur", "interval": "year", "unit_amount": 1500}
    monthly = {"model": "flat", "currency": "eur", "interval": "month", "unit_amount": 900}
    document["products"] += [
        {
            "code": "domain",
            "name": "Domain",
            "kind": "add_on",
            "required_details": ["domain_name"],
            "features": [{"feature": "custom_domain"}],
            "prices": [
                {"code": "domain_yearly", **yearly},
                {"code": "domain_gift", **yearly, "listed": False},
            ],
        },
        {
            "code": "more_hours",
            "name": "More hours",
            "kind": "add_on",
            "features": [{"feature": "hours", "quantity": 3, "every": "month"}],
            "prices": [
                {"code": "more_hours_monthly", **monthly},
                {"code": "more_hours_tried", **monthly, "trial_days": 9},
            ],
        },
        {
            "code": "badge",
            "name": "Badge",
            "kind": "add_on",
            "features": [{"feature": "badge"}],
            "prices": [{"code": "badge_free", "model": "free"}],
        },
    ]
    return document


@pytest.fixture
async def world(open_shop: OpenShop) -> World:
    """A shop whose customer has bought the plan `solo` with a card that is saved."""
    world = await open_shop(shop_catalog())
    await world.register()
    await world.buys("solo_monthly")
    await world.catches_up()
    return world


def purchase(world: World, price: str = "domain_yearly", **fields: Any) -> m.PurchaseAddOn:
    details = fields.pop("details", DETAILS if price == "domain_yearly" else {})
    return m.PurchaseAddOn(
        command_id=world.command_id(),
        customer=ACME,
        price=price,
        details=details,
        success_url="https://shop.example/thanks",
        cancel_url="https://shop.example/plans",
        **fields,
    )


def forget_cards(world: World, stripe_id: str) -> None:
    for method in world.stripe.v1.payment_methods.list({"customer": stripe_id}).data:
        world.stripe.v1.payment_methods.detach(method.id)


async def stripe_id_of(world: World) -> str:
    found = (await world.asks(m.GetCustomer(customer=ACME)))["customer"]["stripe_customer_id"]
    return str(found)


async def listed(world: World) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await world.asks(m.ListAddOns(customer=ACME)))["items"]
    return items


def paid_amounts(world: World, stripe_id: str) -> list[int]:
    charges = world.stripe.v1.charges.list({"customer": stripe_id, "limit": 100}).data
    return sorted(charge.amount for charge in charges if charge.status == "succeeded")


async def test_the_saved_card_pays_for_an_add_on_at_once(world: World) -> None:
    plan = await world.subscription()

    bought = await world.does(purchase(world))

    add_on = bought["add_on"]
    assert set(bought) == {"add_on"}
    assert (add_on["product"], add_on["price"], add_on["status"], add_on["cancel_at"]) == (
        "domain",
        "domain_yearly",
        "active",
        None,
    )
    assert (add_on["details"], add_on["version"]) == ({"domain_name": "shop.example"}, 1)
    assert paid_amounts(world, await stripe_id_of(world)) == [1500, 4900]
    allowed = await world.allowed("custom_domain")
    assert allowed["allowed"]
    assert allowed["sources"] == [
        {"subscription_id": add_on["subscription_id"], "product": "domain", "through": "owner"}
    ]
    assert "organization_acme.custom_domain" in await world.bucket()
    # Asking for the customer's subscription still gives the plan.
    assert (await world.subscription())["subscription_id"] == plan["subscription_id"]


async def test_what_stripe_tells_afterwards_adds_nothing(world: World) -> None:
    bought = await world.does(purchase(world))
    await world.catches_up()

    told = await world.told("add_on")
    assert [name for name, _ in told] == ["purchasedV1"]
    assert told[0][1]["add_on"] == bought["add_on"]
    assert await listed(world) == [bought["add_on"]]


async def test_units_of_an_add_on_are_added_to_the_plans(world: World) -> None:
    # 5 hours of the plan and twice 3 of the add-on are 11.
    await world.does(purchase(world, "more_hours_monthly"))
    await world.does(purchase(world, "more_hours_monthly"))
    assert (await world.allowed("hours"))["quantity"] == 11


async def test_without_a_saved_card_a_page_sells_the_add_on(world: World) -> None:
    stripe_id = await stripe_id_of(world)
    forget_cards(world, stripe_id)

    started = await world.does(purchase(world))

    assert set(started) == {"checkout_url", "checkout_id", "expires_at"}
    assert await listed(world) == []
    assert await world.told("add_on") == []
    await world.pays(started["checkout_url"])
    await world.catches_up()
    [add_on] = await listed(world)
    assert (add_on["status"], add_on["details"]) == ("active", {"domain_name": "shop.example"})
    assert (await world.allowed("custom_domain"))["allowed"]
    assert paid_amounts(world, stripe_id) == [1500, 4900]


@pytest.mark.parametrize("has_card", [True, False])
async def test_an_add_on_is_tried_as_long_as_its_price_says(world: World, has_card: bool) -> None:
    stripe_id = await stripe_id_of(world)
    if not has_card:
        forget_cards(world, stripe_id)

    bought = await world.does(purchase(world, "more_hours_tried"))
    if not has_card:
        await world.pays(bought["checkout_url"])
    await world.catches_up()

    [add_on] = await listed(world)
    about = m.GetSubscription(subscription_id=add_on["subscription_id"])
    mine = (await world.asks(about))["subscription"]
    trial = datetime.fromisoformat(mine["trial_end"]) - datetime.fromisoformat(mine["current_period_start"])
    assert (add_on["status"], trial.days) == ("trialing", 9)
    assert (await world.allowed("hours"))["quantity"] == 8
    # The plan alone was paid for.
    assert paid_amounts(world, stripe_id) == [4900]


async def test_a_declined_card_opens_a_page_and_no_second_invoice(world: World) -> None:
    stripe_id = await stripe_id_of(world)
    forget_cards(world, stripe_id)
    world.stripe.v1.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": stripe_id})

    started = await world.does(purchase(world))
    await world.pays(started["checkout_url"])
    await world.catches_up()

    assert [add_on["status"] for add_on in await listed(world)] == ["active"]
    assert paid_amounts(world, stripe_id) == [1500, 4900]
    assert [
        found
        for found in world.stripe.v1.invoices.list({"customer": stripe_id}).data
        if found.status == "open"
    ] == []


@pytest.mark.parametrize("writes", [0, 1])
async def test_a_purchase_that_was_interrupted_is_finished_once(world: World, writes: int) -> None:
    command = purchase(world)
    world.stand_in.goes_away_after(writes)
    first = await world.bound.handle(command, datetime.now(UTC))
    world.stand_in.comes_back()
    # The only write is the subscription itself: with one allowed the purchase goes through.
    assert first.status == ("succeeded" if writes else "failed")

    bought = await world.does(command)

    assert bought["add_on"]["status"] == "active"
    assert paid_amounts(world, await stripe_id_of(world)) == [1500, 4900]


async def test_a_purchase_whose_result_was_lost_is_found_in_stripe(world: World) -> None:
    command = purchase(world)
    bought = await world.does(command)
    lost = "UPDATE subscriptions.inbox SET outcome = NULL WHERE command_id = %s RETURNING command_id"
    await world.bound.rows(lost, command.command_id)
    for record in world.stand_in.account.each("_idempotency"):
        world.stand_in.account.remove(record)

    assert await world.does(command) == bought
    assert paid_amounts(world, await stripe_id_of(world)) == [1500, 4900]


async def test_an_add_on_is_cancelled_at_the_end_and_then_at_once(world: World) -> None:
    bought = (await world.does(purchase(world)))["add_on"]

    def cancel(at: Any) -> m.CancelAddOn:
        return m.CancelAddOn(command_id=world.command_id(), add_on_id=bought["add_on_id"], at=at)

    ending = (await world.does(cancel("period_end")))["add_on"]
    assert (ending["status"], ending["version"]) == ("active", 2)
    end = datetime.fromisoformat(ending["cancel_at"])
    assert timedelta(days=364) < end - datetime.now(UTC) < timedelta(days=367)
    assert (await world.allowed("custom_domain"))["expires_at"] == ending["cancel_at"]
    assert (await world.does(cancel("period_end")))["add_on"] == ending

    ended = (await world.does(cancel("now")))["add_on"]
    assert (ended["status"], ended["version"]) == ("canceled", 3)
    assert not (await world.allowed("custom_domain"))["allowed"]
    # Again: the same, and no second event.
    assert (await world.does(cancel("now")))["add_on"] == ended
    await world.catches_up()
    told = await world.told("add_on")
    assert [name for name, _ in told] == ["purchasedV1", "updatedV1", "canceledV1"]
    assert gapless(told, "add_on", "add_on_id")
    assert (await world.subscription())["status"] == "active"


async def test_an_add_on_that_ends_in_stripe_ends_here(world: World) -> None:
    await world.does(purchase(world))
    stripe_id = await stripe_id_of(world)
    newest = world.stripe.v1.subscriptions.list({"customer": stripe_id}).data[0]
    world.stripe.v1.subscriptions.cancel(newest.id)
    await world.catches_up()

    assert [add_on["status"] for add_on in await listed(world)] == ["canceled"]
    assert await world.names("add_on") == ["purchasedV1", "canceledV1"]
    assert (await world.subscription())["status"] == "active"


async def test_a_free_add_on_needs_nobody_outside(world: World) -> None:
    world.stand_in.goes_away_after(0)
    bought = (await world.does(purchase(world, "badge_free")))["add_on"]
    assert bought["status"] == "active"
    assert (await world.allowed("badge"))["allowed"]
    command = m.CancelAddOn(command_id=world.command_id(), add_on_id=bought["add_on_id"], at="period_end")
    ending = (await world.does(command))["add_on"]
    world.stand_in.comes_back()

    await world.bound.tick("move_periods", datetime.fromisoformat(ending["cancel_at"]))

    assert [add_on["status"] for add_on in await listed(world)] == ["canceled"]
    assert not (await world.allowed("badge"))["allowed"]


async def test_add_ons_end_with_the_last_plan(world: World) -> None:
    await world.does(purchase(world))
    await world.does(purchase(world, "badge_free"))
    ends = m.CancelSubscription(
        command_id=world.command_id(),
        subscription_id=(await world.subscription())["subscription_id"],
        at="now",
    )

    await world.does(ends)
    # Of what has not ended, which is asked for, nothing but add-ons is left for the moment.
    assert (await world.subscription())["items"][0]["product"] == "badge"
    queued = await world.reports("end_add_on_with_plan")
    assert len(queued) == 2
    for command in queued:
        await world.does(m.EndAddOnWithPlan.model_validate(command))
    await world.catches_up()

    assert {add_on["status"] for add_on in await listed(world)} == {"canceled"}
    assert (await world.subscription())["items"][0]["product"] == "solo"
    assert (await world.names("add_on")).count("canceledV1") == 2
    assert await world.bucket() == {}
    live = world.stripe.v1.subscriptions.list({"limit": 10}).data
    assert live == []


async def test_add_ons_stay_while_a_plan_is_left(world: World) -> None:
    await world.does(purchase(world))
    solo = (await world.subscription())["subscription_id"]
    await world.buys("team_yearly", quantity=2)
    await world.catches_up()

    await world.does(m.CancelSubscription(command_id=world.command_id(), subscription_id=solo, at="now"))
    await world.catches_up()

    assert await world.reports("end_add_on_with_plan") == []
    assert [add_on["status"] for add_on in await listed(world)] == ["active"]


async def test_an_add_on_that_was_bought_like_a_plan_is_an_add_on(world: World) -> None:
    # More hours are sold on a checkout page, and the free badge at once; neither asks for details.
    await world.buys("more_hours_monthly")
    events = world.new_events()
    await world.hears(*events, *events)
    items = [m.ItemToBuy(price="badge_free")]
    await world.does(m.CreateSubscription(command_id=world.command_id(), customer=ACME, items=items))

    found = {add_on["product"]: add_on for add_on in await listed(world)}
    assert {product: add_on["status"] for product, add_on in found.items()} == {
        "more_hours": "active",
        "badge": "active",
    }
    assert await world.names("add_on") == ["purchasedV1", "purchasedV1"]
    add_on_id = found["more_hours"]["add_on_id"]
    command = m.CancelAddOn(command_id=world.command_id(), add_on_id=add_on_id, at="now")
    assert (await world.does(command))["add_on"]["status"] == "canceled"
    assert (await world.allowed("hours"))["quantity"] == 5


@pytest.mark.parametrize(
    ("price", "details", "code", "facts"),
    [
        ("nothing", {}, "unknown_price", {"price": "nothing"}),
        ("domain_gift", DETAILS, "unknown_price", {"price": "domain_gift"}),
        ("solo_monthly", {}, "not_an_add_on", {"price": "solo_monthly"}),
        (
            "domain_yearly",
            {},
            "add_on_details_required",
            {"missing": ["domain_name"], "invalid": []},
        ),
        (
            "domain_yearly",
            {"domain_name": "no_domain"},
            "add_on_details_required",
            {
                "missing": [],
                "invalid": [
                    {
                        "detail": "domain_name",
                        "problem": "is not a whole domain name, such as shop.example",
                    }
                ],
            },
        ),
    ],
)
async def test_what_is_not_sold_like_that_is_refused(
    world: World, price: str, details: dict[str, str], code: str, facts: Any
) -> None:
    assert await world.refuses(purchase(world, price, details=details)) == (code, facts)


async def test_an_add_on_needs_a_running_plan_and_is_none_itself(world: World) -> None:
    await world.does(purchase(world, "badge_free"))
    held = (await world.subscription())["subscription_id"]
    await world.does(m.CancelSubscription(command_id=world.command_id(), subscription_id=held, at="now"))

    assert (await world.refuses(purchase(world)))[0] == "no_active_subscription"


async def test_an_add_on_that_was_never_paid_for_is_not_there(world: World) -> None:
    forget_cards(world, await stripe_id_of(world))
    await world.does(purchase(world))
    rows = await world.bound.rows("SELECT add_on_id FROM subscriptions.add_ons")
    for add_on_id in (rows[0]["add_on_id"], "addon_01jk2m3n4p5q6r7s8t9v0w1x2y"):
        command = m.CancelAddOn(command_id=world.command_id(), add_on_id=add_on_id, at="now")
        assert (await world.refuses(command))[0] == "not_found"


async def test_a_paid_add_on_needs_payments_and_a_free_one_does_not(bind: Callable[..., Bound]) -> None:
    bound = bind(service, StripeGateway(None), Trials(None), Dunning())
    items = [m.ItemToBuy(price="solo_free")]
    for command in (
        catalog.ApplyCatalog(command_id="catalog", catalog=shop_catalog()),
        m.RegisterCustomer(command_id="register", customer=ACME, email="pay@acme.example"),
        m.CreateSubscription(command_id="subscribe", customer=ACME, items=items),
    ):
        assert (await bound.handle(command)).status == "succeeded"
    urls: Any = {"success_url": "https://shop.example/a", "cancel_url": "https://shop.example/b"}

    paid = m.PurchaseAddOn(command_id="paid", customer=ACME, price="domain_yearly", details=DETAILS, **urls)
    outcome = await bound.handle(paid, NOON)
    assert outcome.error is not None
    assert outcome.error.code == "payments_not_configured"
    free = m.PurchaseAddOn(command_id="free", customer=ACME, price="badge_free", **urls)
    assert (await bound.handle(free, NOON)).status == "succeeded"


async def test_add_ons_are_listed_page_by_page_newest_first(world: World) -> None:
    bought = []
    for _ in range(3):
        bought.append((await world.does(purchase(world, "more_hours_monthly")))["add_on"]["add_on_id"])
    first = await world.asks(m.ListAddOns(customer=ACME, limit=2))
    rest = await world.asks(m.ListAddOns(customer=ACME, limit=2, cursor=first["next_cursor"]))
    found = [add_on["add_on_id"] for add_on in [*first["items"], *rest["items"]]]
    assert (found, rest["next_cursor"]) == (bought[::-1], None)
