"""Limit ceilings of plans: raised and lowered while places are in use."""

from collections.abc import Callable
from typing import Any

import pytest

from services.consumables.app import service
from tallystick.messages import consumables as m
from tallystick.messages.base import Command
from tests.support.runtime import Bound
from tests.support.worlds.grants import (
    ACME,
    JANUARY,
    OWN,
    Grants,
    day,
    gives,
    item,
)


@pytest.fixture
def world(bind: Callable[..., Bound]) -> Grants:
    """The service on 1 January, before any event."""
    grants = Grants(bind(service))
    grants.at("2026-01-01")
    return grants


async def test_a_limit_is_a_ceiling_that_does_not_come_anew(world: Grants) -> None:
    await world.subscribed(item(gives("places", 10, kind="limit")), **JANUARY)
    await world.renewed("2026-02-01", "2026-03-01")
    assert await world.grants(OWN, "places") == [(10, None, 100)]


async def test_an_edited_limit_moves_at_once_unlike_units(
    world: Grants,
) -> None:
    await world.subscribed(item(gives("places", 10, kind="limit"), gives(quantity=10)), **JANUARY)
    for places in (12, 7):
        edited = item(gives("places", places, kind="limit"), gives(quantity=places))
        await world.subscribed(edited)
        assert await world.remaining(OWN, "places") == places
        assert await world.remaining(OWN) == 10, "units follow with the next grant"


async def occupied(world: Grants, quantity: int) -> None:
    """Mark this many places as used."""
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


async def test_places_used_without_a_limit_count_under_a_new_ceiling(world: Grants) -> None:
    """8 are used without a limit, then the limit is 10: 2 are left, and 10 once the 8 are released."""
    await world.subscribed(item(gives("places", None, kind="limit")), **JANUARY)
    await uses(world, 8)
    await world.subscribed(item(gives("places", 10, kind="limit"), product="smaller"))
    assert await world.remaining(OWN, "places") == 2
    assert await releases(world, 8) == 10
    await uses(world, 10)
    await world.subscribed(item(gives("places", None, kind="limit"), product="larger"))
    await uses(world, 5)
    await world.subscribed(item(gives("places", 12, kind="limit"), product="smaller"))
    assert await releases(world, 3) == 0
    assert await releases(world, 1) == 1


async def test_a_plan_changes_beside_places_without_bound_for_a_while(world: Grants) -> None:
    """The plan goes from 3 to 10 with 8 in use while a grant is unlimited: 2 are left when it ends."""
    await world.feature("places", "limit")
    await world.subscribed(item(gives("places", 3, kind="limit")), **JANUARY)
    await uses(world, 3)
    await granted(world, None, expires_at=day("2026-01-10"))
    await uses(world, 5)
    await world.subscribed(item(gives("places", 10, kind="limit"), product="larger"))
    assert await world.remaining(OWN, "places") is None
    await world.expires("2026-01-10")
    assert await world.remaining(OWN, "places") == 2
    assert await releases(world, 8) == 10


async def test_a_lapsed_grant_lowers_the_ceiling_again_on_expiry(world: Grants) -> None:
    """10 of 10 + 5 are in use. With 3 + 5, 2 are above; with 3, 7, and the eighth release makes room."""
    await world.feature("places", "limit")
    await world.subscribed(item(gives("places", 10, kind="limit")), **JANUARY)
    await uses(world, 10)
    await granted(world, 5, expires_at=day("2026-01-10"))
    await world.subscribed(item(gives("places", 3, kind="limit"), product="smaller"))
    assert await excess(world) == 2
    await world.expires("2026-01-10")
    assert await excess(world) == 7
    await world.subscribed(item(gives("places", 3, kind="limit"), product="other"))
    assert await excess(world) == 7
    assert await releases(world, 7) == 0
    assert await releases(world, 1) == 1


async def test_revoking_a_plans_grant_takes_its_remainder(world: Grants) -> None:
    """10 are lowered to 3 with 2 in use; after the revocation 2 are above, and 5 granted manually leave 3."""
    await world.feature("places", "limit")
    await world.subscribed(item(gives("places", 10, kind="limit")), **JANUARY)
    await uses(world, 2)
    await world.subscribed(item(gives("places", 3, kind="limit"), product="smaller"))
    [given] = await world.bound.rows("SELECT grant_id FROM consumables.grants")
    await does(world, m.RevokeGrant(command_id="revoke", grant_id=given["grant_id"], reason="A mistake."))
    assert await excess(world) == 2
    await granted(world, 5)
    assert await world.remaining(OWN, "places") == 3


async def does(world: Grants, command: Command[Any]) -> dict[str, Any]:
    outcome = await world.bound.handle(command, world.bound.now)
    assert outcome.result is not None, outcome.error
    return outcome.result


async def uses(world: Grants, quantity: int) -> None:
    """Consume this many places."""
    command_id = f"consume-{next(world.numbers)}"
    await does(world, m.Consume(command_id=command_id, consumer=ACME, feature="places", quantity=quantity))


async def releases(world: Grants, quantity: int) -> int | None:
    """Release this many places; return what remains."""
    command_id = f"release-{next(world.numbers)}"
    command = m.Release(command_id=command_id, consumer=ACME, feature="places", quantity=quantity)
    remaining: int | None = (await does(world, command))["remaining"]
    return remaining


async def granted(world: Grants, quantity: int | None, **fields: Any) -> None:
    """Places given by hand."""
    command_id = f"grant-{next(world.numbers)}"
    command = m.Grant(
        command_id=command_id, account=OWN, feature="places", quantity=quantity, reason="A trial.", **fields
    )
    await does(world, command)


async def excess(world: Grants) -> int:
    """How many places are in use above the ceiling."""
    found = await world.balance(OWN, "places")
    assert found is not None
    return int(found["excess"])


async def test_ceilings_of_two_subscriptions_add_up(world: Grants) -> None:
    await world.subscribed(item(gives("places", 10, kind="limit")), **JANUARY)
    await world.subscribed(
        item(gives("places", 5, kind="limit"), product="pack"), subscription_id="sub_2", **JANUARY
    )
    assert await world.remaining(OWN, "places") == 15
    await world.subscribed(status="canceled", ended_at="2026-01-20")
    assert await world.remaining(OWN, "places") == 5
