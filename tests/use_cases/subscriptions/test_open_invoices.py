"""A new payment method pays what is open at once, and never twice."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tallystick.messages import subscriptions as m
from tests.support.worlds.failing_payments import FEBRUARY, HOUR, Debtor, begin
from tests.support.worlds.subscriptions import ACME, OpenShop

# Raised by how the Stripe SDK calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
DAY = timedelta(days=1)


async def overdue(open_shop: OpenShop) -> Debtor:
    """A customer whose renewal of 49.00 on 1 February has failed; Stripe tries again three days later."""
    debtor = await begin(open_shop, "cancel", "past_due")
    await debtor.reaches(FEBRUARY + 2 * HOUR)
    assert await debtor.status() == "past_due"
    return debtor


async def queued(debtor: Debtor) -> list[m.PayOpenInvoices]:
    """The commands that the service has sent to itself since the payment failed, oldest first."""
    bodies = await debtor.world.reports("pay_open_invoices")
    return [m.PayOpenInvoices.model_validate(body) for body in bodies]


async def takes(debtor: Debtor, card: str, **of: Any) -> list[m.PayOpenInvoices]:
    """Save a card as the new default, and return the commands that follow."""
    before = len(await queued(debtor))
    debtor.saves(card)
    await debtor.world.catches_up()
    return (await queued(debtor))[before:]


async def invoices(debtor: Debtor) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await debtor.world.asks(m.ListInvoices(customer=ACME)))["items"]
    return items


def collected(debtor: Debtor) -> list[int]:
    charges = debtor.stripe.v1.charges.list({"customer": debtor.customer_id, "limit": 100}).data
    return [charge.amount for charge in charges if charge.status == "succeeded"]


async def test_a_new_default_card_pays_what_is_open_at_once(open_shop: OpenShop) -> None:
    debtor = await overdue(open_shop)
    [command] = await takes(debtor, "pm_card_visa")

    done = await debtor.world.does(command)
    await debtor.world.catches_up()

    [newest, _] = await invoices(debtor)
    assert (done["paid"], done["declined"]) == ([newest["stripe_invoice_id"]], [])
    assert (newest["status"], await debtor.status()) == ("paid", "active")
    assert collected(debtor) == [4900, 4900]
    # Stripe's own retry, three days later, finds nothing to collect.
    await debtor.reaches(FEBRUARY + 5 * DAY)
    assert collected(debtor) == [4900, 4900]


async def test_a_card_of_the_subscription_itself_pays_too(open_shop: OpenShop) -> None:
    debtor = await overdue(open_shop)
    before = len(await queued(debtor))
    method = debtor.stripe.v1.payment_methods.attach("pm_card_visa", {"customer": debtor.customer_id})
    plan = (await debtor.world.subscription())["stripe_subscription_id"]
    debtor.stripe.v1.subscriptions.update(plan, {"default_payment_method": method.id})
    await debtor.world.catches_up()

    for command in (await queued(debtor))[before:]:
        assert (await debtor.world.does(command))["declined"] == []
    await debtor.world.catches_up()
    assert (await debtor.status(), collected(debtor)) == ("active", [4900, 4900])


async def test_a_card_that_is_declined_again_is_told(open_shop: OpenShop) -> None:
    debtor = await overdue(open_shop)
    told = (await debtor.world.names("invoice")).count("paymentFailedV1")
    [command] = await takes(debtor, "pm_card_chargeCustomerFail")

    done = await debtor.world.does(command)
    await debtor.world.catches_up()

    [newest, _] = await invoices(debtor)
    assert done["declined"] == [newest["stripe_invoice_id"]]
    assert newest["status"] == "open" and newest["declined_at"] is not None
    assert (await debtor.world.names("invoice")).count("paymentFailedV1") == told + 1
    assert collected(debtor) == [4900]
    # A better one pays, and nothing is said of the other any more.
    [better] = await takes(debtor, "pm_card_visa")
    await debtor.world.does(better)
    await debtor.world.catches_up()
    [newest, _] = await invoices(debtor)
    assert (newest["status"], newest["declined_at"]) == ("paid", None)


async def test_nothing_is_paid_twice_however_often_it_is_tried(open_shop: OpenShop) -> None:
    debtor = await overdue(open_shop)
    [command] = await takes(debtor, "pm_card_visa")
    others = [command.model_copy(update={"command_id": f"again-{number}"}) for number in range(3)]

    outcomes = await asyncio.gather(
        *(debtor.world.bound.handle(each, datetime.now(UTC)) for each in (command, command, *others))
    )
    for outcome in outcomes:
        assert outcome.status in ("succeeded", "failed"), outcome
    await debtor.world.does(command)
    assert collected(debtor) == [4900, 4900]


async def test_what_is_not_collected_automatically_is_left_alone(open_shop: OpenShop) -> None:
    debtor = await overdue(open_shop)
    v1 = debtor.stripe.v1
    # One that was sent, one that is being charged at this moment, and one that was never tried.
    for terms in (
        {"collection_method": "send_invoice", "days_until_due": 30},
        {"collection_method": "charge_automatically", "auto_advance": False},
    ):
        draft: Any = {"customer": debtor.customer_id, "currency": "eur", **terms}
        made = v1.invoices.create(draft)
        item: Any = {"customer": debtor.customer_id, "invoice": made.id, "amount": 700, "currency": "eur"}
        v1.invoice_items.create(item)
        v1.invoices.finalize_invoice(made.id, {"auto_advance": False})
    [command] = await takes(debtor, "pm_card_visa")
    await debtor.world.does(command)
    assert collected(debtor) == [4900, 4900]


@pytest.mark.parametrize("was_removed", [True, False])
async def test_a_card_that_was_removed_pays_nothing(open_shop: OpenShop, was_removed: bool) -> None:
    debtor = await overdue(open_shop)
    [command] = await takes(debtor, "pm_card_visa")
    if was_removed:
        debtor.stripe.v1.payment_methods.detach(command.payment_method)
    done = await debtor.world.does(command)
    assert bool(done["paid"]) is not was_removed


async def test_an_invoice_of_a_plan_that_has_ended_is_not_collected(open_shop: OpenShop) -> None:
    debtor = await overdue(open_shop)
    ends = m.CancelSubscription(
        command_id=debtor.world.command_id(),
        subscription_id=(await debtor.world.subscription())["subscription_id"],
        at="now",
    )
    await debtor.world.does(ends)
    [command] = await takes(debtor, "pm_card_visa")
    assert await debtor.world.does(command) == {"paid": [], "declined": []}
    assert collected(debtor) == [4900]


async def test_other_changes_of_a_customer_pay_nothing(open_shop: OpenShop) -> None:
    debtor = await overdue(open_shop)
    before = len(await queued(debtor))
    debtor.stripe.v1.customers.update(debtor.customer_id, {"name": "Acme & Sons"})
    await debtor.world.catches_up()
    assert len(await queued(debtor)) == before
