"""Payouts are killed around every call of Stripe: no transfer is made twice, and none is lost."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import psycopg
import pytest
import stripe
from nats import connect

import tallystick
from sandbox.ports import HOST, free_port
from shared.operations.audit import audit
from tallystick.messages import payouts as m
from tallystick.messages.base import Customer, Money
from tests.support.stack import STRIPE_KEY, System, stack
from tests.support.waiting import eventually
from tests.support.worlds.selling import IBAN

SEED = 20260201
EARNED = 100_000
PAYOUTS = 12
VICTIMS = ("payouts", "stripe", "payouts", "postgres", "payouts")
PAUSE_SECONDS = (0.3, 1.5)
CALL_SECONDS = 120.0
"""Longer than any outage in the test: a client that keeps asking gets an answer."""
SETTLED_WITHIN_SECONDS = 120.0

pytestmark = pytest.mark.timeout(420)


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    """The worker alone, with processes that the test may kill; nobody hears of Stripe's events."""
    with stack() as running, running.stripe(f"http://{HOST}:{free_port()}/nowhere") as stripe_url:
        settings = {"STRIPE_SECRET_KEY": STRIPE_KEY, "STRIPE_API_BASE": stripe_url}
        with running.worker("payouts", settings):
            yield System(running, stripe_url, ingress_url="", mailbox_url="")


@pytest.fixture
async def billing(system: System) -> AsyncIterator[tallystick.Client]:
    """A client that waits long enough for a worker to come back."""
    async with tallystick.connect(system.stack.nats.users["client"]) as client:
        yield client


async def connected(system: System, billing: tallystick.Client, name: str) -> Customer:
    """A seller with an enabled account, to whom 1,000.00 is available."""
    seller = Customer(type="organization", id=name)
    command = m.ConnectAccount(command_id=f"connect {name}", customer=seller, country="DE")
    opened = await billing.call(command, deadline_seconds=CALL_SECONDS)
    async with httpx.AsyncClient() as browser:
        await browser.post(opened.onboarding_url, data={"account_number": IBAN})

    await tick(system, "sync_accounts")

    async def is_enabled() -> bool:
        return (await billing.ask(m.GetAccount(customer=seller))).account.payouts_enabled

    await eventually(is_enabled)
    amount = Money(amount=EARNED, currency="eur")
    await billing.call(
        m.AdjustSellerBalance(command_id=f"earn {name}", customer=seller, amount=amount, reason="a start")
    )
    return seller


async def tick(system: System, job: str) -> None:
    """Run a job now."""
    clock = await connect(system.stack.nats.users["clock"])
    body = json.dumps({"at": datetime.now(UTC).isoformat()}).encode()
    await clock.request(f"billing.ticks.payouts.{job}", body, timeout=10)
    await clock.close()


def pays(seller: Customer, amount: int, number: int = 1) -> m.PayOut:
    """A command that pays out."""
    return m.PayOut(
        command_id=f"pay {seller.id} {number}",
        customer=seller,
        amount=Money(amount=amount, currency="eur"),
        reference=f"payout {number}",
    )


async def payouts_of(billing: tallystick.Client, seller: Customer) -> list[m.PayoutSnapshot]:
    """All payouts of a seller."""
    question = m.ListPayouts(customer=seller, limit=200)
    return (await billing.ask(question, deadline_seconds=CALL_SECONDS)).items


def transfers(system: System, payouts: list[m.PayoutSnapshot]) -> list[int]:
    """What Stripe has transferred for these payouts."""
    api = stripe.StripeClient(STRIPE_KEY, base_addresses={"api": system.stripe_url}).v1
    return [
        one.amount
        for payout in payouts
        for one in api.transfers.list({"transfer_group": payout.payout_id}).data
    ]


@asynccontextmanager
async def interrupted(
    system: System, billing: tallystick.Client, command: m.PayOut
) -> AsyncIterator[m.PayoutSnapshot]:
    """A payout that is committed while Stripe is away; the call goes on in the block."""
    await asyncio.to_thread(system.stack.kill, "stripe")
    asking = asyncio.create_task(billing.call(command, deadline_seconds=CALL_SECONDS))

    async def begun() -> m.PayoutSnapshot | None:
        pending = [one for one in await payouts_of(billing, command.customer) if one.status == "pending"]
        return pending[0] if pending else None

    try:
        yield await eventually(begun)
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


async def comes_back(system: System, *names: str) -> None:
    """Start killed processes again."""
    for name in names:
        # Not in a thread of this test's, with which it would die.
        system.stack.restart(name)
        if name in system.stack.health_ports:
            await asyncio.to_thread(system.stack.wait_until_ready, name)


async def is_clean(system: System) -> bool:
    """Whether the audit finds nothing."""
    found = await audit(system.stack.owner_url, system.stack.nats.url, prefix="billing")
    broken = {name: violations for name, violations in found.items() if violations}
    assert not broken
    return True


async def test_a_kill_before_stripe_is_asked(system: System, billing: tallystick.Client) -> None:
    seller = await connected(system, billing, "before")
    command = pays(seller, 40_000)
    async with interrupted(system, billing, command):
        await asyncio.to_thread(system.stack.kill, "payouts")
    await comes_back(system, "stripe", "payouts")
    paid = (await billing.call(command, deadline_seconds=CALL_SECONDS)).payout
    assert paid.status == "paid"
    assert transfers(system, await payouts_of(billing, seller)) == [40_000]


async def test_a_kill_after_stripe_has_answered(system: System, billing: tallystick.Client) -> None:
    seller = await connected(system, billing, "after")
    command = pays(seller, 40_000)
    async with (
        interrupted(system, billing, command) as payout,
        await psycopg.AsyncConnection.connect(system.stack.owner_url) as connection,
    ):
        # The result cannot be recorded while the row is locked.
        query = "SELECT 1 FROM payouts.payouts WHERE payout_id = %s FOR UPDATE"
        await connection.execute(query, (payout.payout_id,))
        await comes_back(system, "stripe")

        async def is_made() -> bool:
            try:
                return await asyncio.to_thread(transfers, system, [payout]) == [40_000]
            except stripe.APIConnectionError:
                return False

        await eventually(is_made)
        await asyncio.to_thread(system.stack.kill, "payouts")
        await connection.rollback()
    await comes_back(system, "payouts")
    paid = (await billing.call(command, deadline_seconds=CALL_SECONDS)).payout
    assert paid.status == "paid"
    assert transfers(system, await payouts_of(billing, seller)) == [40_000]
    (balance,) = (await billing.ask(m.SellerBalance(customer=seller))).items
    assert (balance.available, balance.paid_out) == (EARNED - 40_000, 40_000)


async def test_after_any_kill_each_payout_is_made_once(system: System, billing: tallystick.Client) -> None:
    sellers = [await connected(system, billing, f"any-{number}") for number in range(2)]
    calls: list[asyncio.Task[Any]] = []
    for number in range(PAYOUTS):
        for seller in sellers:
            command = pays(seller, 1_000 + number, number)
            calls.append(asyncio.create_task(billing.call(command, deadline_seconds=CALL_SECONDS)))
    chance = random.Random(SEED)
    for victim in VICTIMS:
        # The moment itself is what varies here; nothing is waited for.
        await asyncio.wait(calls, timeout=chance.uniform(*PAUSE_SECONDS))
        await asyncio.to_thread(system.stack.kill, victim)
        await asyncio.to_thread(system.stack.restart, victim)
    await asyncio.gather(*calls)
    sent = sum(1_000 + number for number in range(PAYOUTS))
    for seller in sellers:
        made = await payouts_of(billing, seller)
        assert [one.status for one in made] == ["paid"] * PAYOUTS
        assert sorted(transfers(system, made)) == [1_000 + number for number in range(PAYOUTS)]
        (balance,) = (await billing.ask(m.SellerBalance(customer=seller))).items
        assert (balance.available, balance.paid_out, balance.returned) == (EARNED - sent, sent, 0)
    await eventually(lambda: is_clean(system), within_seconds=SETTLED_WITHIN_SECONDS)
