"""One-off charges and the portal, against the Stripe stand-in through the real SDK."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from services.subscriptions.app import service
from services.subscriptions.checkout.start_checkout import Trials
from services.subscriptions.dunning.grace import Dunning
from services.subscriptions.stripe.client import StripeGateway
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer
from tests.support.runtime import Bound
from tests.support.worlds.subscriptions import ACME, World, gapless

# Raised by how the Stripe SDK calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
async def world(shop: World) -> World:
    """A shop without a registered customer."""
    return shop


async def with_card(world: World, card: str = "pm_card_visa", *, default: bool = True) -> str:
    """Register the customer with a saved card; return the Stripe customer id."""
    stripe_id: str = (await world.register())["stripe_customer_id"]
    method = world.stripe.v1.payment_methods.attach(card, {"customer": stripe_id})
    if default:
        settings: Any = {"invoice_settings": {"default_payment_method": method.id}}
        world.stripe.v1.customers.update(stripe_id, settings)
    return stripe_id


def charge(world: World, amount: int = 7500, **fields: Any) -> m.ChargeCustomer:
    known: dict[str, Any] = {"customer": ACME, "description": "5 hours", "reference": "recharge_1"} | fields
    money = m.Charge(amount=amount, currency=known.pop("currency", "eur"))
    return m.ChargeCustomer(command_id=world.command_id(), amount=money, **known)


def paid_amounts(world: World, stripe_id: str) -> list[int]:
    """Return the amounts that Stripe has collected from a customer."""
    listed = world.stripe.v1.charges.list({"customer": stripe_id, "limit": 100}).data
    return [found.amount for found in listed if found.status == "succeeded"]


async def test_a_charge_is_a_paid_invoice_with_the_callers_reference(world: World) -> None:
    stripe_id = await with_card(world)

    invoice = (await world.does(charge(world)))["invoice"]

    assert (invoice["status"], invoice["total"], invoice["amount_paid"], invoice["currency"]) == (
        "paid",
        7500,
        7500,
        "eur",
    )
    assert (invoice["reference"], invoice["subscription_id"]) == ("recharge_1", None)
    assert [(line["description"], line["amount"]) for line in invoice["lines"]] == [("5 hours", 7500)]
    assert invoice["number"] and invoice["hosted_invoice_url"]
    assert paid_amounts(world, stripe_id) == [7500]


async def test_the_events_of_stripe_add_nothing_to_a_recorded_charge(world: World) -> None:
    await with_card(world)
    recorded = (await world.does(charge(world)))["invoice"]
    await world.catches_up()

    told = await world.told("invoice")
    assert [name for name, _ in told] == ["createdV1", "paidV1"]
    assert gapless(told, "invoice", "invoice_id")
    [listed] = (await world.asks(m.ListInvoices(customer=ACME)))["items"]
    assert listed == recorded


async def test_events_that_come_before_the_answer_make_one_invoice(world: World) -> None:
    stripe_id = await with_card(world)
    command = charge(world)
    # List, customer and lists of cards are reads; written are invoice, item, finalize and pay.
    world.stand_in.goes_away_after(4)
    outcome = await world.bound.handle(command, datetime.now(UTC))
    world.stand_in.comes_back()
    assert outcome.status == "succeeded"
    await world.catches_up()
    assert await world.does(command) == outcome.result
    assert len((await world.asks(m.ListInvoices(customer=ACME)))["items"]) == 1
    assert paid_amounts(world, stripe_id) == [7500]


@pytest.mark.parametrize("writes", [0, 1, 2, 3])
async def test_a_charge_interrupted_by_stripe_charges_once(world: World, writes: int) -> None:
    stripe_id = await with_card(world)
    command = charge(world)
    world.stand_in.goes_away_after(writes)
    outcome = await world.bound.handle(command, datetime.now(UTC))
    world.stand_in.comes_back()
    assert (outcome.status, outcome.error and outcome.error.code) == ("failed", "unavailable")

    invoice = (await world.does(command))["invoice"]

    assert (invoice["status"], invoice["total"]) == ("paid", 7500)
    assert paid_amounts(world, stripe_id) == [7500]
    assert len(world.stripe.v1.invoices.list({"customer": stripe_id}).data) == 1


async def test_a_charge_with_expired_idempotency_keys_charges_once(world: World) -> None:
    # The worker dies after Stripe was paid and before the result is written; Stripe forgets its keys.
    stripe_id = await with_card(world)
    command = charge(world)
    await world.does(command)
    owner = "UPDATE subscriptions.inbox SET outcome = NULL WHERE command_id = %s RETURNING command_id"
    await world.bound.rows(owner, command.command_id)
    for record in world.stand_in.account.each("_idempotency"):
        world.stand_in.account.remove(record)

    invoice = (await world.does(command))["invoice"]

    assert invoice["status"] == "paid"
    assert paid_amounts(world, stripe_id) == [7500]
    assert await world.names("invoice") == ["createdV1", "paidV1"]


async def test_the_sweep_finishes_what_a_crash_left(world: World) -> None:
    stripe_id = await with_card(world)
    command = charge(world)
    world.stand_in.goes_away_after(2)
    await world.bound.handle(command, datetime.now(UTC))
    world.stand_in.comes_back()

    [(handler, body)] = await world.bound.runtime.unfinished(datetime.now(UTC), 10)
    await world.bound.runtime.finish(handler, body, datetime.now(UTC))

    assert paid_amounts(world, stripe_id) == [7500]
    assert await world.bound.runtime.unfinished(datetime.now(UTC), 10) == []


async def test_the_same_command_at_once_charges_once(world: World) -> None:
    stripe_id = await with_card(world)
    command = charge(world)

    outcomes = await asyncio.gather(*(world.bound.handle(command, datetime.now(UTC)) for _ in range(6)))

    assert "succeeded" in {outcome.status for outcome in outcomes}
    assert {outcome.status for outcome in outcomes} <= {"succeeded", "failed"}
    await world.does(command)
    assert paid_amounts(world, stripe_id) == [7500]


async def test_two_commands_are_two_charges(world: World) -> None:
    stripe_id = await with_card(world, default=False)
    await world.does(charge(world, 100))
    await world.does(charge(world, 5000, currency="eur", reference="other"))
    assert sorted(paid_amounts(world, stripe_id)) == [100, 5000]


async def test_a_declined_charge_is_refused_and_can_never_be_paid(world: World) -> None:
    stripe_id = await with_card(world, "pm_card_chargeCustomerFail")

    code, details = await world.refuses(charge(world))

    assert (code, details["reference"], details["decline_code"]) == (
        "payment_failed",
        "recharge_1",
        "generic_decline",
    )
    [invoice] = world.stripe.v1.invoices.list({"customer": stripe_id}).data
    assert invoice.status == "void"
    assert paid_amounts(world, stripe_id) == []
    await world.catches_up()
    names = await world.names("invoice")
    assert (names.count("voidedV1"), "paidV1" in names) == (1, False)


async def test_a_decline_that_was_interrupted_stays_a_decline(world: World) -> None:
    stripe_id = await with_card(world, "pm_card_chargeCustomerFail")
    command = charge(world)
    # Invoice, item, finalize, pay; the voiding does not come through.
    world.stand_in.goes_away_after(4)
    outcome = await world.bound.handle(command, datetime.now(UTC))
    world.stand_in.comes_back()
    assert outcome.status == "failed"

    assert (await world.refuses(command))[0] == "payment_failed"
    assert [found.status for found in world.stripe.v1.invoices.list({"customer": stripe_id}).data] == ["void"]


async def test_a_card_that_asks_for_its_owner_is_refused(world: World) -> None:
    stripe_id = await with_card(world, "pm_card_authenticationRequired")
    assert (await world.refuses(charge(world)))[0] == "payment_failed"
    assert paid_amounts(world, stripe_id) == []


async def test_without_a_saved_payment_method_nothing_is_made(world: World) -> None:
    stripe_id = (await world.register())["stripe_customer_id"]
    assert await world.refuses(charge(world)) == (
        "payment_method_required",
        {"customer": "organization_acme"},
    )
    assert world.stripe.v1.invoices.list({"customer": stripe_id}).data == []


async def test_what_stripe_refuses_leaves_no_draft_behind(world: World) -> None:
    # A customer is billed in one currency.
    stripe_id = await with_card(world)
    await world.does(charge(world))

    code, _ = await world.refuses(charge(world, currency="usd"))

    assert code == "invalid_message"
    assert len(world.stripe.v1.invoices.list({"customer": stripe_id}).data) == 1
    # Its events arrive late and in any order.
    await world.hears(*reversed(world.new_events()))
    found = (await world.asks(m.ListInvoices(customer=ACME)))["items"]
    assert sorted(invoice["status"] for invoice in found) == ["paid", "void"]
    assert (await world.names("invoice"))[-1] == "voidedV1"


async def test_a_currency_without_decimals_is_charged_as_it_is(world: World) -> None:
    stripe_id = await with_card(world)
    invoice = (await world.does(charge(world, 1500, currency="jpy")))["invoice"]
    assert (invoice["amount_paid"], invoice["currency"]) == (1500, "jpy")
    assert paid_amounts(world, stripe_id) == [1500]


async def test_who_is_unknown_is_not_found(world: World) -> None:
    nobody = Customer(type="user", id="nobody")
    assert (await world.refuses(charge(world, customer=nobody)))[0] == "not_found"


async def test_the_portal_is_a_page_of_stripes(world: World) -> None:
    stripe_id = (await world.register())["stripe_customer_id"]
    command = m.OpenPortal(
        command_id=world.command_id(), customer=ACME, return_url="https://shop.example/billing"
    )

    opened = await world.does(command)

    assert opened["portal_url"].startswith(world.stand_in.url)
    assert opened == await world.does(command)
    [session] = world.stand_in.account.find("billing_portal.session")
    assert (session["customer"], session["return_url"]) == (stripe_id, "https://shop.example/billing")


async def test_who_has_no_stripe_customer_has_no_portal_and_no_charge(
    bind: Callable[..., Bound], world: World
) -> None:
    offline = World(
        bind(service, StripeGateway(None), Trials(None), Dunning()), world.stand_in, world.gateway
    )
    offline._commands = 100
    await offline.register()
    portal: dict[str, Any] = {"customer": ACME, "return_url": "https://shop.example/billing"}

    command = m.OpenPortal(command_id="offline", **portal)
    assert (await offline.refuses(command))[0] == "payments_not_configured"
    assert (await offline.refuses(charge(offline)))[0] == "payments_not_configured"
    # The same customer once payments are configured.
    online = m.OpenPortal(command_id="online", **portal)
    assert (await world.refuses(online))[0] == "no_stripe_customer"
    assert (await world.refuses(charge(world)))[0] == "payment_method_required"
