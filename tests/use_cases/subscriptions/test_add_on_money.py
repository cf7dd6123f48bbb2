"""What an add-on costs: nothing twice that would add nothing, and no other sum than was agreed to."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from tallystick.messages import subscriptions as m
from tallystick.messages.base import Money
from tests.support.worlds.subscriptions import ACME, OpenShop, World
from tests.use_cases.subscriptions.test_add_ons import (
    forget_cards,
    listed,
    paid_amounts,
    purchase,
    shop_catalog,
    stripe_id_of,
)

# Raised by how the Stripe SDK calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
async def world(open_shop: OpenShop) -> World:
    """A shop with the flag `seal` for 15.00 a year, whose customer has a plan and a saved card."""
    document = shop_catalog()
    document["features"].append({"code": "seal", "name": "Seal", "kind": "flag"})
    yearly = {"code": "seal_yearly", "model": "flat", "currency": "eur", "interval": "year"}
    document["products"].append(
        {
            "code": "seal",
            "name": "Seal",
            "kind": "add_on",
            "features": [{"feature": "seal"}],
            "prices": [yearly | {"unit_amount": 1500}],
        }
    )
    world = await open_shop(document)
    await world.register()
    await world.buys("solo_monthly")
    await world.catches_up()
    return world


async def previewed(world: World, price: str, **fields: Any) -> Any:
    plan = (await world.subscription())["subscription_id"]
    return await world.bound.handle(m.PreviewChange(subscription_id=plan, add_price=price, **fields))


async def test_a_flag_is_sold_once(world: World) -> None:
    first = (await world.does(purchase(world, "seal_yearly")))["add_on"]

    code, details = await world.refuses(purchase(world, "seal_yearly"))

    assert code == "already_subscribed"
    assert details == {"add_on_id": first["add_on_id"], "subscription_id": first["subscription_id"]}
    assert (await previewed(world, "seal_yearly")).error.code == "already_subscribed"
    # Neither is it sold like a plan.
    assert (await world.refuses(world.checkout("seal_yearly")))[0] == "already_subscribed"
    items = [m.ItemToBuy(price="seal_yearly")]
    again = m.CreateSubscription(command_id=world.command_id(), customer=ACME, items=items)
    assert (await world.refuses(again))[0] == "already_subscribed"
    assert paid_amounts(world, await stripe_id_of(world)) == [1500, 4900]


async def test_a_flag_is_sold_once_to_two_who_ask_at_the_same_moment(world: World) -> None:
    outcomes = await asyncio.gather(
        *(world.bound.handle(purchase(world, "seal_yearly"), datetime.now(UTC)) for _ in range(3))
    )

    assert sorted(outcome.status for outcome in outcomes) == ["rejected", "rejected", "succeeded"]
    assert {outcome.error.code for outcome in outcomes if outcome.error} == {"already_subscribed"}
    assert paid_amounts(world, await stripe_id_of(world)) == [1500, 4900]


async def test_a_flag_whose_page_is_open_is_not_sold_on_another_page(world: World) -> None:
    forget_cards(world, await stripe_id_of(world))
    first = await world.does(purchase(world, "seal_yearly"))

    code, details = await world.refuses(purchase(world, "seal_yearly"))

    assert (code, details["checkout_url"]) == ("already_subscribed", first["checkout_url"])
    await world.pays(first["checkout_url"])
    await world.catches_up()
    assert [add_on["status"] for add_on in await listed(world)] == ["active"]


async def test_a_flag_that_has_ended_is_sold_again(world: World) -> None:
    first = (await world.does(purchase(world, "seal_yearly")))["add_on"]
    ends = m.CancelAddOn(command_id=world.command_id(), add_on_id=first["add_on_id"], at="now")
    await world.does(ends)

    assert (await world.does(purchase(world, "seal_yearly")))["add_on"]["status"] == "active"


async def test_a_free_flag_is_given_once(world: World) -> None:
    await world.does(purchase(world, "badge_free"))
    assert (await world.refuses(purchase(world, "badge_free")))[0] == "already_subscribed"


async def test_a_flag_with_details_is_sold_once_for_each(world: World) -> None:
    other = {"domain_name": "other.example"}
    await world.does(purchase(world))
    assert (await world.refuses(purchase(world)))[0] == "already_subscribed"
    same = {"domain_name": "SHOP.example."}
    assert (await previewed(world, "domain_yearly", details=same)).error.code == "already_subscribed"
    assert (await previewed(world, "domain_yearly", details={})).error.code == "add_on_details_required"
    assert (await previewed(world, "domain_yearly", details=other)).status == "succeeded"
    await world.does(purchase(world, details=other))
    assert paid_amounts(world, await stripe_id_of(world)) == [1500, 1500, 4900]


async def test_another_sum_than_was_agreed_to_is_not_charged(world: World) -> None:
    def agreed(amount: int, price: str = "seal_yearly") -> m.PurchaseAddOn:
        return purchase(world, price, due_now=Money(amount=amount, currency="eur"))

    code, details = await world.refuses(agreed(1400))
    assert (code, details) == ("amount_changed", {"due_now": {"amount": 1500, "currency": "eur"}})
    assert paid_amounts(world, await stripe_id_of(world)) == [4900]

    # Nothing stays reserved, and the right sum is charged; a trial costs nothing at first.
    assert (await world.does(agreed(1500)))["add_on"]["status"] == "active"
    assert (await world.does(agreed(0, "more_hours_tried")))["add_on"]["status"] == "trialing"
    assert paid_amounts(world, await stripe_id_of(world)) == [1500, 4900]


async def test_an_agreed_purchase_whose_result_was_lost_is_not_refused(world: World) -> None:
    # The preview of a second one would be the same; what counts is that the first is found.
    command = purchase(world, "seal_yearly", due_now=Money(amount=1500, currency="eur"))
    bought = await world.does(command)
    lost = "UPDATE subscriptions.inbox SET outcome = NULL WHERE command_id = %s RETURNING command_id"
    await world.bound.rows(lost, command.command_id)

    assert await world.does(command) == bought
    assert paid_amounts(world, await stripe_id_of(world)) == [1500, 4900]


async def test_the_card_is_shown_that_will_be_charged(world: World) -> None:
    stripe_id = await stripe_id_of(world)
    plan = (await world.subscription())["subscription_id"]

    async def shown(**of: Any) -> Any:
        return (await world.asks(m.GetPaymentMethod(customer=ACME, **of)))["payment_method"]

    visa = await shown()
    assert (visa["type"], visa["brand"], visa["last4"]) == ("card", "visa", "4242")
    other = world.stripe.v1.payment_methods.attach("pm_card_mastercard", {"customer": stripe_id})
    default: Any = {"invoice_settings": {"default_payment_method": other.id}}
    world.stripe.v1.customers.update(stripe_id, default)
    # The plan has a card of its own since its checkout; something new is paid with the default.
    assert (await shown())["brand"] == "mastercard"
    assert (await shown(subscription_id=plan))["last4"] == "4242"
    forget_cards(world, stripe_id)
    assert await shown() is None
