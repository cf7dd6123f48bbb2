"""Units beyond the included ones are put on an invoice when their billing period has ended, once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta

import pytest

from services.subscriptions.charges import bill_overage
from shared.errors import Unavailable
from tallystick.messages import consumables as c
from tallystick.messages import subscriptions as m
from tests.support.runtime import Bound
from tests.support.servers import NatsServer
from tests.support.state_machines.audit import audited
from tests.support.worlds.overage_charges import (
    DAY,
    FEBRUARY,
    OWN,
    Metered,
    metered_world,
    overage_catalog,
)
from tests.support.worlds.plan_changes import Crew
from tests.support.worlds.subscriptions import ACME, OpenShop

# Raised by how the Stripe SDK calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
MARCH = datetime.fromisoformat("2026-03-01T00:00:00Z")


@pytest.fixture
async def world(
    bind: Callable[..., Bound], open_shop: OpenShop, nats_session: NatsServer
) -> AsyncIterator[Metered]:
    """A customer with 5 hours in January, on Stripe's test clock."""
    crew = Crew(await open_shop(overage_catalog()))
    async with metered_world(bind, crew, nats_session) as world:
        await world.begins()
        yield world


async def is_sound(world: Metered) -> bool:
    """Whether the audit finds nothing."""
    return await audited(world.bound.owner_url) == []


async def test_what_is_owed_is_on_the_invoice_of_the_renewal(world: Metered) -> None:
    # 8 of 5 hours: 3 at 2.00 are 6.00, with the 49.00 of February.
    await world.uses(8)
    assert await world.queued() == []
    await world.reaches(FEBRUARY)
    assert await world.charges() == ["invoiced"]
    assert world.invoices() == [("paid", 4900), ("draft", 5500)]
    await world.reaches(FEBRUARY + DAY)
    assert world.invoices() == [("paid", 4900), ("paid", 5500)]
    assert world.lines() == [("3 × Hours beyond the included units", 600)]
    assert await world.owed() == [(3, 3, True)]
    assert await is_sound(world)


async def test_a_renewal_that_was_invoiced_already_has_an_invoice_of_its_own_beside_it(
    world: Metered,
) -> None:
    await world.uses(8)
    await world.reaches(FEBRUARY + DAY)
    assert await world.charges() == ["invoiced"]
    assert world.invoices() == [("paid", 4900), ("paid", 4900), ("paid", 600)]
    assert world.lines() == [("3 × Hours beyond the included units", 600)]


async def test_nothing_owed_is_nothing_charged(world: Metered) -> None:
    await world.uses(5)
    await world.reaches(FEBRUARY)
    await world.bound.tick("charge_overages", world.now)
    assert await world.queued() == []


async def test_events_and_ticks_that_come_again_charge_once(world: Metered) -> None:
    await world.uses(8)
    await world.reaches(FEBRUARY)
    world.delivered = 0
    await world.events_arrive()
    await asyncio.gather(*(world.bound.tick("charge_overages", world.now) for _ in range(3)))
    assert await world.charges() == ["invoiced"]
    world.handled = 0
    assert await world.charges() == ["invoiced"]
    await world.reaches(MARCH + DAY)
    assert await world.charges() == []
    assert world.lines() == [("3 × Hours beyond the included units", 600)]


async def test_a_charge_whose_command_was_lost_is_sent_again(world: Metered) -> None:
    await world.uses(8)
    await world.reaches(FEBRUARY)
    world.handled = 1
    await world.bound.tick("charge_overages", world.now + timedelta(minutes=11))
    assert await world.charges() == ["invoiced"]
    world.handled = 0
    assert await world.charges() == ["invoiced", "invoiced"]
    assert world.lines() == [("3 × Hours beyond the included units", 600)]


@pytest.mark.parametrize("step", ["create", "finalize"])
async def test_a_run_that_broke_off_is_continued(
    world: Metered, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    await world.uses(8)
    await world.reaches(FEBRUARY + DAY)
    breaking = "_own_invoice" if step == "create" else "_place"
    whole = getattr(bill_overage, breaking)

    async def broken(*arguments: object, **named: object) -> object:
        await whole(*arguments, **named)
        monkeypatch.setattr(bill_overage, breaking, whole)
        raise Unavailable("the worker was killed")

    monkeypatch.setattr(bill_overage, breaking, broken)
    [body] = await world.queued()
    first = await world.bound.handle_body("charge_overage", body, world.now)
    assert first.status == "failed"
    assert await world.charges() == ["invoiced"]
    assert world.invoices() == [("paid", 4900), ("paid", 4900), ("paid", 600)]
    assert world.lines() == [("3 × Hours beyond the included units", 600)]
    assert await world.owed() == [(3, 3, True)]


async def test_a_plan_changed_in_the_period_owes_at_its_end(world: Metered) -> None:
    # 8 of 5; then the smaller plan, whose 2 are used up already: 3 more are owed. Together 6.
    await world.uses(8)
    change = await world.crew.plan("small_monthly", when="now", proration="none")
    await world.shop.does(change)
    await world.shop.catches_up()
    await world.events_arrive()
    await world.uses(3)
    await world.reaches(FEBRUARY)
    assert await world.charges() == ["invoiced"]
    assert world.lines() == [("6 × Hours beyond the included units", 1200)]


async def test_a_canceled_subscription_still_owes(world: Metered) -> None:
    await world.uses(8)
    cancel = m.CancelSubscription(
        command_id=world.shop.command_id(), subscription_id=await world.crew.id(), at="now"
    )
    await world.shop.does(cancel)
    await world.shop.catches_up()
    await world.events_arrive()
    assert await world.charges() == ["invoiced"]
    assert world.lines() == [("3 × Hours beyond the included units", 600)]
    assert await world.owed() == [(3, 3, True)]


async def test_what_was_reserved_at_the_end_is_charged_when_it_is_used(world: Metered) -> None:
    reserve = c.Reserve(command_id="r", consumer=ACME, feature="hours", quantity=9, ttl_seconds=86_400)
    world.now = FEBRUARY - timedelta(hours=1)
    await world.uses(1)
    held = await world.does(reserve)
    await world.reaches(FEBRUARY)
    assert await world.queued() == []
    commit = c.CommitReservation(command_id="c", reservation_id=str(held["reservation_id"]), quantity=8)
    await world.does(commit)
    await world.bound.tick("charge_overages", world.now)
    assert await world.charges() == ["invoiced"]
    assert world.lines() == [("4 × Hours beyond the included units", 800)]
    assert await world.owed() == [(4, 4, True)]
    assert await is_sound(world)


async def test_units_refunded_after_their_charge_are_set_off_against_the_next(world: Metered) -> None:
    used = await world.uses(8)
    await world.reaches(FEBRUARY)
    await world.charges()
    refund = c.RefundConsumption(command_id="refund", consumption_id=used, quantity=2)
    await world.does(refund)
    await world.bound.tick("charge_overages", world.now)
    assert await world.charges() == []
    assert await world.owed() == [(1, 3, False)]
    await world.uses(10)
    await world.reaches(MARCH)
    assert await world.charges() == ["invoiced"]
    assert [amount for _, amount in world.lines()] == [600, 600]
    assert await world.owed() == [(1, 1, True), (5, 5, True)]
    assert await is_sound(world)


async def test_a_customer_that_stripe_does_not_know_owes_until_it_does(
    bind: Callable[..., Bound], open_shop: OpenShop, nats_session: NatsServer
) -> None:
    crew = Crew(await open_shop(overage_catalog()))
    async with metered_world(bind, crew, nats_session) as world:
        world.now = world.bound.now
        await world.shop.register()
        create = m.CreateSubscription(
            command_id=world.shop.command_id(),
            customer=ACME,
            items=[m.ItemToBuy(price="solo_monthly")],
            collection="none",
        )
        world.now = datetime.fromisoformat(str((await world.shop.does(create))["subscription"]["created_at"]))
        await world.events_arrive()
        await world.uses(8)
        end = m.CancelSubscription(
            command_id=world.shop.command_id(),
            subscription_id=(await world.shop.subscription())["subscription_id"],
            at="now",
        )
        await world.shop.bound.execute("UPDATE subscriptions.customers SET stripe_customer_id = NULL")
        await world.shop.does(end)
        await world.events_arrive()
        assert await world.charges() == ["failed"]
        assert await world.owed() == [(3, 0, False)]
        await world.bound.tick("charge_overages", world.now)
        assert await world.charges() == []
        world.now += 2 * DAY
        await world.bound.tick("charge_overages", world.now)
        assert await world.charges() == ["failed"]
        assert await is_sound(world)


async def test_the_balance_tells_what_is_owed_and_on_no_invoice_yet(world: Metered) -> None:
    async def owed() -> object:
        outcome = await world.bound.handle(c.GetBalance(account=OWN, feature="hours"), world.now)
        assert outcome.result is not None
        return outcome.result["overage"]

    assert await owed() is None
    await world.uses(8)
    assert await owed() == {"quantity": 3, "amount": {"amount": 600, "currency": "eur"}}
    await world.reaches(FEBRUARY)
    await world.charges()
    assert await owed() is None
