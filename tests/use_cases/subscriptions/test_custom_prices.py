"""Prices that are made in Stripe's dashboard on a product of the catalog."""

from typing import Any

import pytest

from tallystick.messages import subscriptions as m
from tests.support.worlds.plan_changes import MIDDLE, Crew, bought
from tests.support.worlds.subscriptions import ACME

# Raised by how the Stripe SDK calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


async def negotiates(crew: Crew, amount: int, **recurring: Any) -> dict[str, Any]:
    """Staff make a price on the plan's product in Stripe and move the subscription there."""
    v1 = crew.world.stripe.v1
    stripe_id = (await crew.world.subscription())["stripe_subscription_id"]
    [item] = v1.subscriptions.retrieve(stripe_id)["items"].data
    wanted: Any = {
        "product": item.price.product,
        "currency": "eur",
        "unit_amount": amount,
        "recurring": {"interval": "month", **recurring},
    }
    made = v1.prices.create(wanted)
    new = {"id": item.id, "price": made.id, "quantity": item.quantity}
    changed: Any = {"items": [new], "proration_behavior": "none"}
    v1.subscriptions.update(stripe_id, changed)
    await crew.world.catches_up()
    return await crew.world.subscription()


async def test_a_negotiated_price_keeps_the_plan_and_says_its_amount(crew: Crew) -> None:
    before = await crew.begins("solo_monthly", 1)
    after = await negotiates(crew, 7700)
    [old], [new] = before["items"], after["items"]
    assert (new["product"], new["price"]) == ("solo", None)
    assert (new["features"], new["seats"]) == (old["features"], old["seats"])
    assert new["stripe_price_id"] != old["stripe_price_id"]
    assert new["custom_price"] == {
        "unit_amount": 7700,
        "currency": "eur",
        "interval": "month",
        "interval_count": 1,
    }
    assert (await crew.world.told("subscription"))[-1][0] == "changedV1"


async def test_an_interval_of_several_months_is_told_as_it_is(crew: Crew) -> None:
    await crew.begins("solo_monthly", 1)
    [item] = (await negotiates(crew, 19900, interval_count=3))["items"]
    assert (item["custom_price"]["interval"], item["custom_price"]["interval_count"]) == ("month", 3)


async def test_from_a_negotiated_price_the_plan_is_changed_to_one_of_the_catalog(crew: Crew) -> None:
    # 77.00 a month are less than 99.00: now, for half of January -38.50 + 49.50 = 11.00.
    await crew.begins("solo_monthly", 1)
    await negotiates(crew, 7700)
    await crew.reaches(MIDDLE)
    preview = await crew.preview(price="big_monthly")
    assert preview["next_invoice"] == {"amount": 9900 + 1100, "currency": "eur"}
    result = await crew.world.does(await crew.plan("big_monthly"))
    assert bought(result["subscription"]) == [("big_monthly", 1)]
    assert result["subscription"]["items"][0]["custom_price"] is None


async def test_back_to_the_list_price_is_less_and_waits(crew: Crew) -> None:
    await crew.begins("solo_monthly", 1)
    await negotiates(crew, 7700)
    result = await crew.world.does(await crew.plan("solo_monthly"))
    assert result["scheduled_change"]["price"] == "solo_monthly"
    await crew.reaches(MIDDLE.replace(month=2))
    assert bought(await crew.world.subscription()) == [("solo_monthly", 1)]


async def test_a_negotiated_price_is_invoiced_with_its_real_amount(crew: Crew) -> None:
    await crew.begins("solo_monthly", 1)
    await negotiates(crew, 7700)
    await crew.reaches(MIDDLE.replace(month=2))
    page = await crew.world.asks(m.ListInvoices(customer=ACME))
    newest = page["items"][0]
    assert (newest["total"], newest["lines"][0]["price"]) == (7700, None)


async def test_the_quantity_of_a_negotiated_price_is_changed_at_that_price(crew: Crew) -> None:
    # 3 seats at 7.00. 8 of them, for half of January: -10.50 + 28.00 = 17.50, and 56.00 from February on.
    await crew.begins()
    before = await negotiates(crew, 700)
    assert before["items"][0]["seats"] is not None
    await crew.reaches(MIDDLE)
    preview = await crew.preview(quantity=8, proration="invoice")
    assert (preview["due_now"]["amount"], preview["next_invoice"]["amount"]) == (1750, 5600)

    result = await crew.world.does(await crew.quantity(8, proration="invoice"))

    [item] = result["subscription"]["items"]
    assert (item["price"], item["quantity"], item["custom_price"]["unit_amount"]) == (None, 8, 700)
    await crew.world.catches_up()
    assert (await crew.newest_invoice())["total"] == 1750
    # The same number again changes nothing.
    assert (await crew.world.does(await crew.quantity(8)))["scheduled_change"] is None


async def test_fewer_at_a_negotiated_price_wait_for_the_end_of_the_period(crew: Crew) -> None:
    await crew.begins()
    await negotiates(crew, 700)
    result = await crew.world.does(await crew.quantity(2))
    change = result["scheduled_change"]
    assert (change["product"], change["price"], change["quantity"]) == ("crew", None, 2)
    assert change["custom_price"]["unit_amount"] == 700
    assert (await crew.world.refuses(await crew.quantity(101)))[0] == "quantity_out_of_range"
    await crew.reaches(MIDDLE.replace(month=2))
    [item] = (await crew.world.subscription())["items"]
    assert (item["price"], item["quantity"]) == (None, 2)
    assert (await crew.newest_invoice())["total"] == 1400
