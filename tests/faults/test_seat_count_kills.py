"""A seat count change is killed between its steps, and a retry finishes it.

A lock that the test takes in Postgres stops the change at a step, so that the moment of the kill is certain.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
import stripe
from psycopg import sql

import tallystick
from shared.operations.audit import audit
from tallystick.messages import seats as s
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer
from tallystick.messages.catalog import ApplyCatalog
from tests.support.catalogs import example_catalog
from tests.support.stack import STRIPE_KEY, System, whole_system
from tests.support.waiting import eventually

REDELIVERED_SECONDS = 90.0
"""What a killed worker was given and had not acknowledged comes again after `ack_wait`."""

ACME = Customer(type="organization", id="acme")


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    """A system whose processes the test may kill."""
    with whole_system(without=("licenses", "monitoring", "payouts", "notifications")) as running:
        yield running


@asynccontextmanager
async def locked(system: System, table: str, column: str, value: str) -> AsyncIterator[None]:
    """Hold a row's lock while the block runs."""
    schema, _, name = table.partition(".")
    query = sql.SQL("SELECT 1 FROM {} WHERE {} = %s FOR UPDATE").format(
        sql.Identifier(schema, name), sql.Identifier(column)
    )
    async with await psycopg.AsyncConnection.connect(system.stack.owner_url) as connection:
        assert (await connection.execute(query, (value,))).rowcount == 1
        yield
        await connection.rollback()


@pytest.fixture
async def billing(system: System) -> AsyncIterator[tallystick.Client]:
    """A client that waits long enough for a worker to come back."""
    async with tallystick.connect(system.stack.nats.users["client"]) as client:
        yield client


async def opens(system: System, billing: tallystick.Client, customer: Customer) -> s.TeamSnapshot:
    """A team of five for a customer with a card, with one member beside the owner."""
    stripe_client = stripe.StripeClient(STRIPE_KEY, base_addresses={"api": system.stripe_url})
    theirs = stripe_client.v1.customers.create({"email": "pay@acme.example"})
    card = stripe_client.v1.payment_methods.attach("pm_card_visa", {"customer": theirs.id})
    settings: Any = {"invoice_settings": {"default_payment_method": card.id}}
    stripe_client.v1.customers.update(theirs.id, settings)
    await billing.call(ApplyCatalog(command_id="catalog", catalog=example_catalog()))
    await billing.call(
        m.RegisterCustomer(
            command_id=f"register {customer.id}",
            customer=customer,
            email="pay@acme.example",
            stripe_customer_id=theirs.id,
        )
    )
    created = await billing.call(
        m.CreateSubscription(
            command_id=f"create {customer.id}",
            customer=customer,
            items=[m.ItemToBuy(price="team_monthly", quantity=5)],
            trial_days=0,
        )
    )
    about = s.GetTeam(subscription_id=created.subscription.subscription_id)

    async def is_open() -> s.TeamSnapshot | None:
        outcome = await billing.answer(about)
        return (await billing.ask(about)).team if outcome.status == "succeeded" else None

    team: s.TeamSnapshot = await eventually(is_open)
    assign = s.AssignSeat(
        command_id=f"assign {customer.id}",
        team_id=team.team_id,
        member=Customer(type="user", id=f"m-{customer.id}"),
        immediate=True,
    )
    await billing.call(assign)
    return team


async def team_now(billing: tallystick.Client, team: s.TeamSnapshot) -> s.TeamSnapshot:
    """The team as it stands."""
    return (await billing.ask(s.GetTeam(team_id=team.team_id))).team


async def is_being_changed(billing: tallystick.Client, team: s.TeamSnapshot) -> bool:
    """Return whether a change is pending."""
    return (await team_now(billing, team)).change is not None


async def kill(system: System, worker: str, asking: "asyncio.Task[Any]") -> None:
    """Kill a worker and cancel the pending call."""
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await asyncio.to_thread(system.stack.kill, worker)


async def comes_back(system: System, worker: str) -> None:
    """Start it again."""
    # Not in a thread of this test's, with which it would die.
    system.stack.restart(worker)
    await asyncio.to_thread(system.stack.wait_until_ready, worker)


async def is_clean(system: System) -> bool:
    """Whether the audit finds nothing."""
    found = await audit(system.stack.owner_url, system.stack.nats.url, prefix="billing")
    broken = {name: violations for name, violations in found.items() if violations}
    assert not broken
    return True


async def quantity_of(billing: tallystick.Client, team: s.TeamSnapshot) -> int:
    """Return the quantity of the subscription."""
    found = await billing.ask(m.GetSubscription(subscription_id=team.subscription_id))
    return found.subscription.items[0].quantity


async def totals(billing: tallystick.Client, customer: Customer) -> list[int]:
    """Return the totals of the customer's invoices."""
    page = await billing.ask(m.ListInvoices(customer=customer))
    return sorted(invoice.total for invoice in page.items)


@pytest.mark.timeout(180)
async def test_a_kill_before_asking_subscriptions_changes_once(
    system: System, billing: tallystick.Client
) -> None:
    # Five seats, one taken; lowered to two at once. The third cannot be assigned until that is decided.
    customer = Customer(type="organization", id="before")
    team = await opens(system, billing, customer)
    command = s.ChangeSeatCount(
        command_id="to two", team_id=team.team_id, quantity=2, when="now", proration="none"
    )
    async with locked(system, "subscriptions.customers", "customer", customer.token):
        asking = asyncio.create_task(billing.call(command))
        await eventually(lambda: is_being_changed(billing, team))
        await kill(system, "seats", asking)
        await comes_back(system, "seats")
        limited = await team_now(billing, team)
        assert (limited.quantity, limited.available) == (5, 1)
    assert (await billing.call(command)).team.quantity == 2
    ended = await team_now(billing, team)
    assert (ended.quantity, ended.available, ended.change) == (2, 1, None)
    assert await quantity_of(billing, team) == 2
    await eventually(lambda: is_clean(system), within_seconds=REDELIVERED_SECONDS)


@pytest.mark.timeout(180)
async def test_a_kill_after_the_subscription_changed_charges_once(
    system: System, billing: tallystick.Client
) -> None:
    # Five seats at 10.00; three more in the first moment of the month: 30.00 at once.
    customer = Customer(type="organization", id="after")
    team = await opens(system, billing, customer)
    command = s.ChangeSeatCount(
        command_id="to eight", team_id=team.team_id, quantity=8, when="now", proration="invoice"
    )
    async with locked(system, "subscriptions.customers", "customer", customer.token):
        asking = asyncio.create_task(billing.call(command))
        await eventually(lambda: is_being_changed(billing, team))
        holding = locked(system, "seats.teams", "team_id", team.team_id)
        await holding.__aenter__()

    async def is_changed() -> bool:
        return await quantity_of(billing, team) == 8

    try:
        await eventually(is_changed)
        await kill(system, "seats", asking)
    finally:
        await holding.__aexit__(None, None, None)
    await comes_back(system, "seats")
    assert (await billing.call(command)).team.quantity == 8
    ended = await team_now(billing, team)
    assert (ended.quantity, ended.capacity, ended.change) == (8, 9, None)

    async def is_charged_once() -> bool:
        return await totals(billing, customer) == [3000, 5000]

    await eventually(is_charged_once)
    await eventually(lambda: is_clean(system), within_seconds=REDELIVERED_SECONDS)


@pytest.mark.timeout(180)
async def test_a_kill_during_a_seat_hold_changes_and_lifts_the_hold(
    system: System, billing: tallystick.Client
) -> None:
    # Five seats, one taken; the subscription itself is asked for three.
    customer = Customer(type="organization", id="held")
    team = await opens(system, billing, customer)
    command = m.ChangeQuantity(
        command_id="to three",
        subscription_id=team.subscription_id,
        quantity=3,
        when="now",
        proration="none",
    )
    async with locked(system, "seats.teams", "team_id", team.team_id):
        asking = asyncio.create_task(billing.call(command))
        await eventually(lambda: is_intended(system, command.command_id))
        holding = locked(system, "subscriptions.customers", "customer", customer.token)
        await holding.__aenter__()
    try:
        await eventually(lambda: is_being_changed(billing, team))
        await kill(system, "subscriptions", asking)
    finally:
        await holding.__aexit__(None, None, None)
    await comes_back(system, "subscriptions")
    limited = await team_now(billing, team)
    assert (limited.quantity, limited.available) == (5, 2)
    assert (await billing.call(command)).subscription.items[0].quantity == 3

    async def is_over() -> bool:
        ended = await team_now(billing, team)
        return (ended.quantity, ended.available, ended.change) == (3, 2, None)

    await eventually(is_over)
    await eventually(lambda: is_clean(system), within_seconds=REDELIVERED_SECONDS)


async def is_intended(system: System, command_id: str) -> bool:
    """Return whether the intent of a command is committed."""
    query = "SELECT 1 FROM subscriptions.inbox WHERE command_id = %s AND intent IS NOT NULL"
    async with await psycopg.AsyncConnection.connect(system.stack.owner_url) as connection:
        return (await connection.execute(query, (command_id,))).rowcount == 1
