"""Ceilings that plans set: moved up and down, whatever is in use."""

from collections.abc import Callable

import pytest

from services.consumables.app import service
from tests.handlers.grants_world import (
    OWN,
    Grants,
    gives,
    item,
)
from tests.support.runtime import Bound

JANUARY = {"current_period_start": "2026-01-01", "current_period_end": "2026-02-01"}


@pytest.fixture
def world(bind: Callable[..., Bound]) -> Grants:
    """Nothing told yet, on 1 January."""
    grants = Grants(bind(service))
    grants.at("2026-01-01")
    return grants


async def test_a_limit_is_a_ceiling_that_does_not_come_anew(world: Grants) -> None:
    await world.subscribed(item(gives("places", 10, kind="limit")), **JANUARY)
    await world.renewed("2026-02-01", "2026-03-01")
    assert await world.grants(OWN, "places") == [(10, None, 100)]


async def occupied(world: Grants, quantity: int) -> None:
    """As if so many places were taken."""
    await world.bound.rows(
        "UPDATE consumables.grants SET consumed = %s, remaining = remaining - %s, open = remaining > %s"
        " WHERE feature = 'places' RETURNING 1",
        *[quantity] * 3,
    )
    await world.bound.rows(
        "UPDATE consumables.balances SET consumed = %s, remaining = remaining - %s"
        " WHERE feature = 'places' RETURNING 1",
        *[quantity] * 2,
    )


async def test_a_lower_ceiling_takes_nothing_and_allows_nothing_more(world: Grants) -> None:
    await world.subscribed(item(gives("places", 10, kind="limit")), **JANUARY)
    await occupied(world, 10)
    await world.subscribed(item(gives("places", 3, kind="limit"), product="smaller"))
    balance = await world.balance(OWN, "places")
    assert balance is not None
    assert (balance["consumed"], balance["remaining"], balance["excess"]) == (10, 0, 7)

    await world.subscribed(item(gives("places", 12, kind="limit"), product="larger"))
    balance = await world.balance(OWN, "places")
    assert balance is not None
    assert (balance["consumed"], balance["remaining"], balance["excess"]) == (10, 2, 0)


async def test_free_places_go_with_a_lower_ceiling(world: Grants) -> None:
    await world.subscribed(item(gives("places", 10, kind="limit")), **JANUARY)
    await occupied(world, 2)
    await world.subscribed(item(gives("places", 3, kind="limit"), product="smaller"))
    assert await world.remaining(OWN, "places") == 1


async def test_from_unlimited_places_to_some(world: Grants) -> None:
    await world.subscribed(item(gives("places", None, kind="limit")), **JANUARY)
    assert await world.remaining(OWN, "places") is None
    await world.subscribed(item(gives("places", 3, kind="limit"), product="smaller"))
    assert await world.remaining(OWN, "places") == 3
    await world.subscribed(item(gives("places", None, kind="limit"), product="larger"))
    assert await world.remaining(OWN, "places") is None
    await world.subscribed(status="canceled", ended_at="2026-01-20")
    assert await world.remaining(OWN, "places") == 0


async def test_ceilings_of_two_subscriptions_add_up(world: Grants) -> None:
    await world.subscribed(item(gives("places", 10, kind="limit")), **JANUARY)
    await world.subscribed(
        item(gives("places", 5, kind="limit"), product="pack"), subscription_id="sub_2", **JANUARY
    )
    assert await world.remaining(OWN, "places") == 15
    await world.subscribed(status="canceled", ended_at="2026-01-20")
    assert await world.remaining(OWN, "places") == 5
