"""Add-ons end with the plan: paid time after the end is credited, and they go on if the plan does.

The add-on costs 15.00 a year from 1 January 2026 on; the plan ends with January: 334 of 365 days are left,
which are 1500 × 334/365 = 1372.6, so 13.73.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tallystick.messages import subscriptions as m
from tests.support.worlds.plan_changes import FEBRUARY, MIDDLE, Crew
from tests.support.worlds.subscriptions import ACME, World

# Raised by how the Stripe SDK calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
YEAR_END = "2027-01-01T00:00:00Z"
PLAN_END = "2026-02-01T00:00:00Z"
CREDIT = -1373


async def settled(world: World) -> None:
    """Run the commands that the service has sent to itself, until there are no new ones."""
    done: set[str] = set()
    while True:
        queued = await world.reports("end_add_on_with_plan")
        new = [each for each in queued if each["command_id"] not in done]
        if not new:
            return
        for body in new:
            done.add(body["command_id"])
            await world.does(m.EndAddOnWithPlan.model_validate(body))
        await world.catches_up()


async def buys_domain(crew: Crew, price: str = "domain_yearly") -> dict[str, Any]:
    command = m.PurchaseAddOn(
        command_id=crew.world.command_id(),
        customer=ACME,
        price=price,
        details={"domain_name": "shop.example"},
        success_url="https://shop.example/thanks",
        cancel_url="https://shop.example/plans",
    )
    add_on: dict[str, Any] = (await crew.world.does(command))["add_on"]
    await crew.world.catches_up()
    return add_on


async def cancels(crew: Crew, at: Any = "period_end") -> dict[str, Any]:
    command = m.CancelSubscription(command_id=crew.world.command_id(), subscription_id=await crew.id(), at=at)
    found = await crew.world.does(command)
    await crew.world.catches_up()
    await settled(crew.world)
    return found


async def domain(crew: Crew) -> dict[str, Any]:
    [add_on] = (await crew.world.asks(m.ListAddOns(customer=ACME)))["items"]
    found: dict[str, Any] = add_on
    return found


def balance(crew: Crew) -> int:
    """The customer's balance in Stripe; negative is credit."""
    return crew.world.stripe.v1.customers.retrieve(crew.theirs).balance or 0


@pytest.fixture
async def acme(crew: Crew) -> Crew:
    """A customer with the plan Solo for 49.00 a month and a domain, both from 1 January on."""
    await crew.begins("solo_monthly", 1)
    await buys_domain(crew)
    return crew


async def test_what_is_paid_for_time_after_the_end_is_credited(acme: Crew) -> None:
    await cancels(acme)
    ending = await domain(acme)
    assert (ending["status"], ending["cancel_at"]) == ("active", PLAN_END)
    assert balance(acme) == 0

    await acme.reaches(FEBRUARY + timedelta(hours=2))
    await settled(acme.world)

    assert (await domain(acme))["status"] == "canceled"
    assert (await acme.world.subscription())["status"] == "canceled"
    assert balance(acme) == CREDIT
    invoice = await acme.newest_invoice()
    assert (invoice["total"], invoice["amount_due"], invoice["status"]) == (CREDIT, 0, "paid")
    [line] = invoice["lines"]
    assert (line["amount"], line["credit"]) == (CREDIT, "unused")
    assert line["period"] == {"start": PLAN_END, "end": YEAR_END}
    assert await acme.world.names("add_on") == ["purchasedV1", "updatedV1", "canceledV1"]


async def test_a_plan_that_is_kept_brings_the_add_on_back(acme: Crew) -> None:
    await cancels(acme)
    keeps = m.ReactivateSubscription(command_id=acme.world.command_id(), subscription_id=await acme.id())
    await acme.world.does(keeps)
    await acme.world.catches_up()
    await settled(acme.world)
    kept = await domain(acme)
    assert (kept["status"], kept["cancel_at"]) == ("active", None)

    await acme.reaches(FEBRUARY + timedelta(hours=2))
    await settled(acme.world)

    assert (await domain(acme))["status"] == "active"
    assert balance(acme) == 0


async def test_an_add_on_ends_at_once_with_a_plan_that_ends_at_once(acme: Crew) -> None:
    # On 16 January at noon 349.5 days of the year are left: 1500 × 349.5/365 = 1436.3.
    await acme.reaches(MIDDLE)
    await cancels(acme, "now")
    assert (await domain(acme))["status"] == "canceled"
    assert balance(acme) == -1436
    assert (await acme.newest_invoice())["total"] == -1436


@pytest.mark.parametrize("way", ["portal", "date", "dashboard_now"])
async def test_it_makes_no_difference_where_the_plan_was_cancelled(acme: Crew, way: str) -> None:
    v1 = acme.world.stripe.v1
    plan = (await acme.world.subscription())["stripe_subscription_id"]
    if way == "dashboard_now":
        await acme.reaches(MIDDLE)
        v1.subscriptions.cancel(plan)
    else:
        end: Any = {"cancel_at_period_end": True}
        v1.subscriptions.update(plan, end if way == "portal" else {"cancel_at": int(MIDDLE.timestamp())})
    await acme.world.catches_up()
    await settled(acme.world)
    if way != "dashboard_now":
        wanted = PLAN_END if way == "portal" else "2026-01-16T12:00:00Z"
        assert (await domain(acme))["cancel_at"] == wanted

    await acme.reaches(FEBRUARY + timedelta(hours=2))
    await settled(acme.world)
    assert (await domain(acme))["status"] == "canceled"
    # A date that staff set credits the plan's own half month as well, 24.50.
    assert balance(acme) == {"portal": CREDIT, "date": -2450 - 1436, "dashboard_now": -1436}[way]


async def test_an_earlier_end_of_its_own_stays_and_comes_back(acme: Crew) -> None:
    # The domain was cancelled by its owner for the end of its year; the plan's end is earlier.
    mine = await domain(acme)
    own = m.CancelAddOn(command_id=acme.world.command_id(), add_on_id=mine["add_on_id"], at="period_end")
    assert (await acme.world.does(own))["add_on"]["cancel_at"] == YEAR_END
    await cancels(acme)
    assert (await domain(acme))["cancel_at"] == PLAN_END

    keeps = m.ReactivateSubscription(command_id=acme.world.command_id(), subscription_id=await acme.id())
    await acme.world.does(keeps)
    await acme.world.catches_up()
    await settled(acme.world)
    assert (await domain(acme))["cancel_at"] == YEAR_END


async def test_an_add_on_that_is_bought_while_the_plan_ends_ends_with_it(crew: Crew) -> None:
    await crew.begins("solo_monthly", 1)
    await cancels(crew)
    await buys_domain(crew)
    await settled(crew.world)
    assert (await domain(crew))["cancel_at"] == PLAN_END
    await crew.reaches(FEBRUARY + timedelta(hours=2))
    assert balance(crew) == CREDIT


async def test_nothing_is_credited_for_a_trial(crew: Crew) -> None:
    await crew.begins("solo_monthly", 1)
    await buys_domain(crew, "domain_tried")
    await cancels(crew, "now")
    assert (await domain(crew))["status"] == "canceled"
    assert balance(crew) == 0


async def test_another_plan_keeps_the_add_on(acme: Crew) -> None:
    await cancels(acme)
    world = acme.world
    items = [m.ItemToBuy(price="big_monthly")]
    await world.does(m.CreateSubscription(command_id=world.command_id(), customer=ACME, items=items))
    await world.catches_up()
    await settled(world)
    assert (await domain(acme))["cancel_at"] is None


async def test_a_plan_that_is_paid_outside_ends_its_add_ons_too(crew: Crew) -> None:
    # Stripe has the domain alone; the plan's month, on the clock of this machine, ends in less than one.
    world = crew.world
    await world.register()
    items = [m.ItemToBuy(price="solo_monthly")]
    made = m.CreateSubscription(command_id=world.command_id(), customer=ACME, items=items, collection="none")
    plan = (await world.does(made))["subscription"]
    customer = (await world.asks(m.GetCustomer(customer=ACME)))["customer"]["stripe_customer_id"]
    world.stripe.v1.payment_methods.attach("pm_card_visa", {"customer": customer})
    await buys_domain(crew)
    await cancels(crew)
    end = datetime.fromisoformat(plan["current_period_end"])
    assert datetime.fromisoformat((await domain(crew))["cancel_at"]) == end.replace(microsecond=0)

    ends = m.CancelSubscription(
        command_id=world.command_id(), subscription_id=plan["subscription_id"], at="now"
    )
    await world.does(ends)
    await settled(world)
    assert (await domain(crew))["status"] == "canceled"
    credit = world.stripe.v1.customers.retrieve(customer).balance
    assert credit in (-1499, -1500)


@pytest.mark.parametrize("writes", [0, 1])
async def test_an_interrupted_end_is_credited_once(acme: Crew, writes: int) -> None:
    await acme.reaches(MIDDLE)
    world = acme.world
    ends = m.CancelSubscription(command_id=world.command_id(), subscription_id=await acme.id(), at="now")
    await world.does(ends)
    [body] = await world.reports("end_add_on_with_plan")
    command = m.EndAddOnWithPlan.model_validate(body)
    world.stand_in.goes_away_after(writes)
    first = await world.bound.handle(command, datetime.now(UTC))
    world.stand_in.comes_back()
    assert first.status == ("succeeded" if writes else "failed")

    await world.does(command)
    lost = "UPDATE subscriptions.inbox SET outcome = NULL WHERE command_id = %s RETURNING command_id"
    await world.bound.rows(lost, command.command_id)
    for record in world.stand_in.account.each("_idempotency"):
        world.stand_in.account.remove(record)
    await world.does(command)
    await world.catches_up()
    await settled(world)

    assert (await domain(acme))["status"] == "canceled"
    assert balance(acme) == -1436


async def test_an_unpaid_period_is_not_credited(crew: Crew) -> None:
    # A domain for 2.00 a month renews on 11 February, which fails; the plan ends within that month.
    await crew.begins("solo_monthly", 1)
    await buys_domain(crew, "domain_tried")
    await crew.reaches(FEBRUARY + timedelta(hours=2))
    crew.saves("pm_card_chargeCustomerFail")
    await crew.reaches(datetime(2026, 2, 11, 2, tzinfo=UTC))
    assert (await domain(crew))["status"] == "past_due"
    await cancels(crew, "now")
    assert (await domain(crew))["status"] == "canceled"
    assert balance(crew) == 0


async def told_before(crew: Crew, at: Any = "period_end") -> dict[str, Any]:
    return await crew.world.asks(m.PreviewCancellation(subscription_id=await crew.id(), at=at))


async def test_what_ends_and_what_is_credited_is_told_before_and_with_the_cancellation(acme: Crew) -> None:
    shown = await told_before(acme)
    assert [(each["kind"], each["product"], each["ends_at"]) for each in shown["ends"]] == [
        ("plan", "solo", PLAN_END),
        ("add_on", "domain", PLAN_END),
    ]
    assert shown["credit"] == {"amount": -CREDIT, "currency": "eur"}
    assert [(line["amount"], line["credit"]) for line in shown["lines"]] == [(CREDIT, "unused")]

    done = await cancels(acme)
    assert done["ending"] == shown
    # Looked at again, it says the same; and it is what then comes, to the cent.
    assert await told_before(acme) == shown
    await acme.reaches(FEBRUARY + timedelta(hours=2))
    [line] = (await acme.newest_invoice())["lines"]
    assert (line["amount"], line["period"]) == (CREDIT, shown["lines"][0]["period"])
    assert balance(acme) == -shown["credit"]["amount"]
    over = await acme.world.bound.handle(m.PreviewCancellation(subscription_id=await acme.id()))
    assert over.error is not None and over.error.code == "subscription_ended"


async def test_what_a_cancellation_at_once_credits_is_told_before(acme: Crew) -> None:
    await acme.reaches(MIDDLE)
    shown = await told_before(acme, "now")
    assert shown["credit"] == {"amount": 1436, "currency": "eur"}
    done = await cancels(acme, "now")
    assert done["ending"]["credit"] == shown["credit"]
    assert balance(acme) == -1436


async def test_add_ons_do_not_end_while_another_plan_goes_on(acme: Crew) -> None:
    world = acme.world
    first = await acme.id()
    items = [m.ItemToBuy(price="big_monthly")]
    await world.does(m.CreateSubscription(command_id=world.command_id(), customer=ACME, items=items))
    await world.catches_up()
    shown = await world.asks(m.PreviewCancellation(subscription_id=first))
    assert [each["kind"] for each in shown["ends"]] == ["plan"]
    assert (shown["credit"], shown["lines"]) == (None, [])


async def test_seats_and_units_end_with_the_plan(crew: Crew) -> None:
    await crew.begins("crew_volume", 3)
    shown = await told_before(crew)
    assert [(each["kind"], each["quantity"]) for each in shown["ends"]] == [("plan", None), ("seats", 3)]
