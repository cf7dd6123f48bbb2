"""Auto-recharges while a cycle is over and the next one is not granted yet: nothing is bought in between."""

from datetime import timedelta
from typing import Any

import pytest

from tallystick.messages import consumables as m
from tests.support.worlds.grants import Grants, gives, item
from tests.support.worlds.recharges import ACCOUNT, FEATURE, RechargeWorld

# Raised by how the Stripe SDK calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

A_MONTH = timedelta(days=30)


@pytest.fixture
async def plan(recharging: RechargeWorld) -> Grants:
    """A plan with 80 hours a month, and a rule that buys lots of 5 below 50."""
    await recharging.with_card()
    told = Grants(recharging.bound)
    told.bound.now = recharging.now
    end = recharging.now + A_MONTH
    await told.subscribed(item(gives(FEATURE, 80)), current_period_end=end.isoformat())
    await recharging.set_rule(threshold=50, recharge_quantity=5)
    return told


def _renews_at(plan: Grants) -> Any:
    return plan.bound.now + A_MONTH


async def test_a_use_before_the_renewal_is_known_buys_nothing(
    recharging: RechargeWorld, plan: Grants
) -> None:
    # The month is over by the clock. The 80 of the next month come with the renewal, a moment later.
    world, end = recharging, _renews_at(plan)
    assert await world.uses(10) == 70
    world.now = plan.bound.now = end
    for _ in range(2):
        assert await world.refuses(world.wants(1)) == "insufficient_balance"
        await world.looks()
    assert await world.charges() == 0
    levels = {"consumable.lowV1", "consumable.exhaustedV1"}
    assert not levels & {".".join(subject.split(".")[2::2]) for subject, _ in await world.bound.feed()}

    await plan.subscribed(current_period_start=end.isoformat(), current_period_end=_after(end))
    assert await world.remaining() == 80
    # From then on the rule buys again: 31 used leave 49.
    assert await world.uses(31) == 49
    assert await world.charges() == 1
    assert await world.remaining() == 54


async def test_a_rule_set_in_between_buys_nothing(recharging: RechargeWorld, plan: Grants) -> None:
    world, end = recharging, _renews_at(plan)
    world.now = plan.bound.now = end
    assert await world.refuses(world.wants(1)) == "insufficient_balance"
    known: dict[str, Any] = {"account": ACCOUNT, "feature": FEATURE, "threshold": 60, "recharge_quantity": 5}
    shown = await world.does(m.PreviewAutoRecharge(**known))
    assert (shown["quantity"], shown["due_now"]["amount"]) == (0, 0)
    await world.set_rule(threshold=60, recharge_quantity=5)
    assert await world.charges() == 0


def _after(start: Any) -> str:
    return str((start + timedelta(days=31)).isoformat())


async def test_nothing_is_bought_for_a_plan_that_has_ended(recharging: RechargeWorld, plan: Grants) -> None:
    # What is tried after the end is refused; with a new plan the rule buys again.
    world = recharging
    await plan.subscribed(status="canceled", ended_at=world.now.isoformat())
    assert await world.refuses(world.wants(1)) == "insufficient_balance"
    await world.looks()
    assert await world.charges() == 0

    end = _after(world.now)
    await plan.subscribed(
        item(gives(FEATURE, 80)), subscription_id="sub_2", status="active", current_period_end=end
    )
    assert await world.uses(31) == 49
    assert await world.charges() == 1


async def test_nothing_is_bought_for_a_plan_that_is_over_by_the_clock(
    recharging: RechargeWorld, plan: Grants
) -> None:
    world = recharging
    ends_at = world.now + timedelta(days=1)
    await plan.subscribed(cancel_at_period_end=True, cancel_at=ends_at)
    world.now = plan.bound.now = ends_at
    for _ in range(2):
        assert await world.refuses(world.wants(1)) == "insufficient_balance"
    assert await world.charges() == 0
