"""Usage reported to Stripe's meters, against the stand-in through the real SDK."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import pytest

from services.subscriptions.app import service
from services.subscriptions.checkout.start_checkout import Trials
from services.subscriptions.dunning.grace import Dunning
from services.subscriptions.stripe.client import StripeGateway
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer
from tests.support.runtime import Bound
from tests.support.stripe import SECRET_KEY, StripeStandIn
from tests.support.worlds.subscriptions import ACME, World

# Raised by how the Stripe SDK calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

STRANGER = Customer(type="user", id="7")
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
DAY_SECONDS = 86_400


@pytest.fixture
async def world(bind: Callable[..., Bound], stand_in: StripeStandIn) -> AsyncIterator[World]:
    gateway = StripeGateway(SECRET_KEY, stand_in.url)
    yield World(bind(service, gateway, Trials(None), Dunning()), stand_in, gateway)
    await gateway.close()


def reading(
    identifier: str, quantity: int = 30, customer: Customer = ACME, at: datetime = TODAY
) -> m.Reading:
    return m.Reading(identifier=identifier, customer=customer, meter="hours_used", quantity=quantity, at=at)


def metered(world: World, stripe_id: str) -> float:
    """What Stripe has counted for a customer today."""
    (meter,) = world.stripe.v1.billing.meters.list({}).data
    start = int(TODAY.timestamp())
    span = {"customer": stripe_id, "start_time": start, "end_time": start + DAY_SECONDS}
    return world.stripe.v1.billing.meters.event_summaries.list(meter.id, span).data[0].aggregated_value  # type: ignore[arg-type]


async def test_a_missing_meter_is_created_for_usage_readings(world: World) -> None:
    stripe_id = (await world.register())["stripe_customer_id"]
    command = m.RecordUsage(command_id="u1", readings=[reading("a"), reading("b", 5)])
    assert await world.does(command) == {"recorded": ["a", "b"], "skipped": []}
    (meter,) = world.stripe.v1.billing.meters.list({}).data
    assert (meter.event_name, meter.default_aggregation.formula) == ("hours_used", "sum")
    assert metered(world, stripe_id) == 35


async def test_a_reading_that_comes_again_counts_once(world: World) -> None:
    stripe_id = (await world.register())["stripe_customer_id"]
    await world.does(m.RecordUsage(command_id="u1", readings=[reading("a")]))
    again = m.RecordUsage(command_id="u2", readings=[reading("a"), reading("b", 1)])
    assert (await world.does(again))["recorded"] == ["a", "b"]
    assert metered(world, stripe_id) == 31


async def test_a_call_that_broke_off_in_the_middle_is_finished(world: World) -> None:
    stripe_id = (await world.register())["stripe_customer_id"]
    command = m.RecordUsage(command_id="u1", readings=[reading(f"r{number}", 1) for number in range(20)])
    world.stand_in.goes_away_after(7)
    outcome = await world.bound.handle(command, datetime.now(UTC))
    assert outcome.status == "failed"
    world.stand_in.comes_back()
    assert len((await world.does(command))["recorded"]) == 20
    assert metered(world, stripe_id) == 20


async def test_who_has_no_counterpart_in_stripe_is_skipped(world: World) -> None:
    await world.register()
    command = m.RecordUsage(command_id="u1", readings=[reading("a"), reading("b", customer=STRANGER)])
    assert await world.does(command) == {
        "recorded": ["a"],
        "skipped": [{"identifier": "b", "reason": "no_stripe_customer"}],
    }


async def test_a_reading_too_old_for_stripe_is_skipped_with_a_reason(world: World) -> None:
    await world.register()
    old = reading("a", at=datetime(2020, 1, 1, tzinfo=UTC))
    told = await world.does(m.RecordUsage(command_id="u1", readings=[old, reading("b")]))
    assert told == {
        "recorded": ["b"],
        "skipped": [{"identifier": "a", "reason": "timestamp_too_far_in_past"}],
    }


async def test_without_payments_nothing_is_recorded(bind: Callable[..., Bound]) -> None:
    gateway = StripeGateway(None)
    bound = bind(service, gateway, Trials(None), Dunning())
    outcome = await bound.handle(m.RecordUsage(command_id="u1", readings=[reading("a")]))
    assert outcome.error is not None
    assert outcome.error.code == "payments_not_configured"
    await gateway.close()
