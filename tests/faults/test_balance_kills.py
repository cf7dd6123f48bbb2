"""Twelve processes consume one balance and are killed: each unit is consumed once, and no answer is lost."""

import asyncio
import multiprocessing
import random
from collections.abc import Callable
from functools import partial
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

from services.consumables.app import service
from tests.support.faults.balance_spender import read, spend
from tests.support.runtime import Bound
from tests.support.waiting import eventually
from tests.support.worlds.balances import UnitsWorld

PROCESSES = 12
UNITS = 3_000
KILLS = 10
SEED = 20260101
DONE_WITHIN_SECONDS = 150.0


@pytest.mark.timeout(300)
async def test_each_unit_goes_once_whoever_dies(bind: Callable[..., Bound], tmp_path: Path) -> None:
    world = UnitsWorld(bind(service))
    await world.set_up()
    await world.grant(UNITS)
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(["tests.support.faults.balance_spender"])

    def start(number: int) -> ForkServerProcess:
        name = f"process{number}"
        process = forks.Process(target=spend, args=(world.bound.owner_url, name, tmp_path / name))
        process.start()
        return process

    running = {number: start(number) for number in range(PROCESSES)}
    chance = random.Random(SEED)
    for kill in range(1, KILLS + 1):
        # Spread over the first half of the units, wherever each process is just then.
        left = UNITS - UNITS * kill // (2 * KILLS)
        await eventually(partial(_at_most, world, left), within_seconds=DONE_WITHIN_SECONDS)
        victim = chance.choice(list(running))
        running[victim].kill()
        await asyncio.to_thread(running[victim].join)
        running[victim] = start(victim)
    for process in running.values():
        await asyncio.to_thread(process.join, DONE_WITHIN_SECONDS)
        assert process.exitcode == 0
    await _check(world, [answer for number in running for answer in read(tmp_path / f"process{number}")])


async def _at_most(world: UnitsWorld, left: int) -> bool:
    return await world.remaining() <= left


async def _check(world: UnitsWorld, answers: list[Any]) -> None:
    rows = await world.bound.rows("SELECT command_id, outcome FROM consumables.inbox WHERE name = 'consume'")
    stored = {row["command_id"]: row["outcome"] for row in rows}
    succeeded = [outcome for outcome in stored.values() if outcome["status"] == "succeeded"]
    balance = await world.balance()
    assert balance["remaining"] < 3
    assert balance["consumed"] == sum(outcome["result"]["consumed"] for outcome in succeeded)
    assert balance["consumed"] == sum(await world.entries("consumed"))
    # Every answer is in effect, and each remainder was returned by one command only.
    assert all(stored[answer["command_id"]] == answer for answer in answers)
    remaining = [outcome["result"]["remaining"] for outcome in succeeded]
    assert len(set(remaining)) == len(remaining)
