"""A process that consumes one balance until nothing is left, and writes down every answer."""

import asyncio
import os
from itertools import count
from pathlib import Path

import orjson

from services.consumables.app import service
from shared.clock import utc_now
from tallystick.messages import consumables as m
from tallystick.messages.base import Customer
from tests.support.runtime import Bound

LANES = 4
"""Commands that one process has under way at a time, which share its commits."""


def spend(database_url: str, name: str, answers: Path) -> None:
    """Run the process; a successor of the same name continues after the last answer."""
    asyncio.run(_spend(database_url, name, answers))


async def _spend(database_url: str, name: str, answers: Path) -> None:
    bound = Bound(service, database_url)
    known = {answer["command_id"] for answer in read(answers)}
    numbers = count()
    over = asyncio.Event()
    file = os.open(answers, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def lane() -> None:
        while not over.is_set():
            number = next(numbers)
            command_id = f"{name}-{number}"
            if command_id in known:
                continue
            command = m.Consume(
                command_id=command_id,
                consumer=Customer(type="organization", id="acme"),
                feature="hours",
                quantity=1 + number % 3,
            )
            outcome = await bound.handle(command, utc_now())
            if outcome.status == "failed":
                continue
            os.write(file, outcome.to_json() + b"\n")
            if outcome.status == "rejected":
                over.set()

    await asyncio.gather(*(lane() for _ in range(LANES)))
    await bound.close()


def read(answers: Path) -> list[dict[str, object]]:
    """The answers that were written down whole; a kill may have cut the last one off."""
    lines = answers.read_bytes().splitlines(keepends=True) if answers.exists() else []
    return [orjson.loads(line) for line in lines if line.endswith(b"\n")]
