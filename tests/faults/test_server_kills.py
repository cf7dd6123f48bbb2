"""Workers, NATS and Postgres are killed at random moments under load.

Afterwards every answered command is in effect exactly once, and the feed has all events in order.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator

import pytest
import stripe

import tallystick
from shared.operations.audit import audit
from tallystick.subjects import ENTITLEMENTS_BUCKET
from tests.support.faults.customer_traffic import Traffic
from tests.support.stack import STRIPE_KEY, Stack, System, whole_system
from tests.support.waiting import eventually

SEED = 20260101
LANES = 16
KILLS = 9
"""Each victim dies at least twice."""
PAUSE_SECONDS = (0.5, 4.0)
"""Short enough to hit recoveries too, long enough for work to get done in between."""
SETTLED_WITHIN_SECONDS = 90.0
VICTIMS = ("webhooks", "subscriptions", "nats", "postgres")


@pytest.fixture
def system() -> Iterator[System]:
    """A system whose processes the test may kill."""
    with whole_system() as running:
        yield running


@pytest.mark.timeout(420)
async def test_whatever_dies_each_answered_command_is_in_effect_once(system: System) -> None:
    running = system.stack
    async with tallystick.connect(running.nats.users["client"]) as billing:
        traffic = Traffic(billing, seed=SEED)
        await traffic.prepare()
        lanes = [asyncio.create_task(traffic.flow(lane)) for lane in range(LANES)]
        killed = await _kill_at_random(running, lanes)
        traffic.over.set()
        await asyncio.gather(*lanes)
        for service in ("webhooks", "subscriptions"):
            await asyncio.to_thread(running.wait_until_ready, service)
        answered = traffic.answered
        assert min(killed.values()) >= 2
        assert len(answered.paid) >= 5, "too little happened to mean anything"
        assert len(answered.free) >= 5

        await eventually(lambda: _all_active(traffic), within_seconds=SETTLED_WITHIN_SECONDS)
        await eventually(lambda: _is_clean(running), within_seconds=SETTLED_WITHIN_SECONDS)
        await _check_stripe(system.stripe_url, traffic)
        await _check_buckets(billing, traffic)
        for token, subscription_id in answered.free.items():
            expected = "canceled" if token in answered.canceled else "active"
            assert await traffic.subscription_status(token) == expected, (token, subscription_id)


async def _kill_at_random(running: Stack, lanes: list[asyncio.Task[None]]) -> Counter[str]:
    chance = random.Random(SEED)
    order = [*VICTIMS, *VICTIMS]
    order += [chance.choice(VICTIMS) for _ in range(KILLS - len(order))]
    chance.shuffle(order)
    for victim in order:
        # The moment itself is what varies here; nothing is waited for.
        done, _ = await asyncio.wait(lanes, timeout=chance.uniform(*PAUSE_SECONDS))
        for task in done:
            task.result()
        await asyncio.to_thread(running.kill, victim)
        await asyncio.to_thread(running.restart, victim)
    return Counter(order)


async def _all_active(traffic: Traffic) -> bool:
    statuses = {token: await traffic.subscription_status(token) for token in traffic.answered.paid}
    late = {token: status for token, status in statuses.items() if status != "active"}
    assert not late
    return True


async def _is_clean(running: Stack) -> bool:
    found = await audit(running.owner_url, running.nats.url, prefix="billing")
    broken = {name: violations for name, violations in found.items() if violations}
    assert not broken
    return True


async def _check_stripe(stripe_url: str, traffic: Traffic) -> None:
    """Stripe has one customer for each of ours, and one subscription for each that was paid."""
    http = stripe.HTTPXClient()
    client = stripe.StripeClient(STRIPE_KEY, base_addresses={"api": stripe_url}, http_client=http)
    customers = await client.v1.customers.list_async({"limit": 100})
    ids = {customer.id async for customer in customers.auto_paging_iter()}
    assert len(ids) == len(traffic.answered.registered)
    subscriptions = await client.v1.subscriptions.list_async({"limit": 100})
    payers = Counter([one.customer async for one in subscriptions.auto_paging_iter()])
    assert set(payers.values()) == {1}
    assert len(payers) == len(traffic.answered.paid)
    await http.close_async()  # type: ignore[no-untyped-call]


async def _check_buckets(billing: tallystick.Client, traffic: Traffic) -> None:
    bucket = await billing.connection.jetstream().key_value(ENTITLEMENTS_BUCKET)
    for token in traffic.answered.paid:
        entry = await bucket.get(f"{token}.exports")
        assert entry.value is not None
        assert b'"allowed":true' in entry.value
