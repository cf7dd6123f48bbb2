"""Many consumptions in one message: outcomes in order, each item a command of its own."""

import asyncio
from typing import Any

import orjson
import pytest

from tallystick.messages import consumables as m
from tallystick.messages.base import Outcome
from tests.support.worlds.balances import ACME, ANN, BOB, POOL, UnitsWorld


@pytest.fixture
def world(units: UnitsWorld) -> UnitsWorld:
    return units


def many(world: UnitsWorld, *items: m.Consume) -> m.ConsumeMany:
    return m.ConsumeMany(command_id=world.command_id(), items=list(items))


def first_item(outcome: Outcome) -> dict[str, Any]:
    assert outcome.result is not None, outcome.error
    items: Any = outcome.result["outcomes"]
    return dict(items[0])


async def test_each_item_has_its_outcome_in_order(world: UnitsWorld) -> None:
    await world.grant(10, POOL)
    items = [world.consume(quantity, ANN) for quantity in (4, 7, 5, 2)]
    outcomes = (await world.does(many(world, *items)))["outcomes"]
    assert [one["command_id"] for one in outcomes] == [item.command_id for item in items]
    assert [one["status"] for one in outcomes] == ["succeeded", "rejected", "succeeded", "rejected"]
    assert [one["result"]["remaining"] for one in outcomes if one["status"] == "succeeded"] == [6, 1]
    assert outcomes[1]["error"]["details"] == {"available": 6}
    assert len(await world.events()) == 3  # granted, consumed, low


async def test_an_item_is_the_same_command_alone_and_in_any_batch(world: UnitsWorld) -> None:
    await world.grant(10)
    alone, batched = world.consume(2), world.consume(3)
    first = await world.does(alone)
    message = many(world, alone, batched, alone)
    outcomes = (await world.does(message))["outcomes"]
    assert [one["result"]["remaining"] for one in outcomes] == [8, 5, 8]
    assert outcomes[0]["result"] == first
    assert (await world.does(batched))["remaining"] == 5
    assert (await world.does(message))["outcomes"] == outcomes
    assert await world.entries("consumed") == [2, 3]


async def test_an_item_with_another_content_is_a_conflict_of_its_own(world: UnitsWorld) -> None:
    await world.grant(10)
    item = world.consume(2)
    await world.does(item)
    changed = item.model_copy(update={"quantity": 3})
    outcomes = (await world.does(many(world, changed, world.consume(1))))["outcomes"]
    assert outcomes[0]["error"]["code"] == "idempotency_conflict"
    assert outcomes[1]["result"]["remaining"] == 7


async def test_messages_at_once_with_overlapping_items_use_each_once(world: UnitsWorld) -> None:
    await world.grant(1_000)
    items = [world.consume(1) for _ in range(100)]
    messages = [many(world, *items[start : start + 60]) for start in (0, 20, 40)]
    results = await asyncio.gather(*(world.does(message) for message in messages), world.does(items[50]))
    assert len(await world.entries("consumed")) == 100
    seen = {
        one["command_id"]: one["result"]["remaining"] for result in results[:3] for one in result["outcomes"]
    }
    assert len(set(seen.values())) == 100
    assert results[3]["remaining"] == seen[items[50].command_id]


async def test_five_hundred_items_are_taken_and_no_more(world: UnitsWorld) -> None:
    await world.grant(10_000)
    items = [world.consume(1, who) for who in (ACME,) for _ in range(500)]
    assert (await world.does(many(world, *items)))["outcomes"][-1]["result"]["remaining"] == 9_500
    too_many = many(world, *items).model_copy(update={"items": [*items, world.consume(1, BOB)]})
    assert (await world.refuses(too_many))[0] == "invalid_message"


async def test_an_item_needs_an_id_of_its_own(world: UnitsWorld) -> None:
    item = world.consume(1)
    body = many(world, item).model_dump(mode="json") | {"command_id": item.command_id}
    outcome = await world.bound.handle_body("consume_many", orjson.dumps(body))
    assert outcome.error is not None
    assert outcome.error.code == "invalid_message"


async def test_an_item_with_a_reused_id_affects_no_other_item(world: UnitsWorld) -> None:
    await world.grant(10)
    one, neighbour = many(world, world.consume(1)), many(world, world.consume(2))
    thief = many(world, world.consume(3).model_copy(update={"command_id": one.command_id}))
    outcomes = await asyncio.gather(*(world.bound.handle(message) for message in (one, thief, neighbour)))
    told = [first_item(outcome) for outcome in outcomes]
    assert told[0]["status"] == told[2]["status"] == "succeeded"
    assert told[1]["error"]["code"] == "idempotency_conflict"
