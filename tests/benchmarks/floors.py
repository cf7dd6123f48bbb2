"""The floors: what the servers themselves take, measured in the same run as what is built on them."""

import time
from collections.abc import Awaitable, Callable
from statistics import median

import nats
import psycopg
from nats.aio.msg import Msg

SAMPLES = 300
WARM_UP = 50


async def median_ms(action: Callable[[int], Awaitable[object]], samples: int = SAMPLES) -> float:
    """The median duration of an action, one at a time, in milliseconds."""
    for number in range(WARM_UP):
        await action(-1 - number)
    durations = []
    for number in range(samples):
        started = time.perf_counter()
        await action(number)
        durations.append((time.perf_counter() - started) * 1000)
    return median(durations)


async def nats_round_trip_ms(url: str, *, samples: int = SAMPLES) -> float:
    """A request to a bare nats-py responder in a process of its own connection, and its reply."""
    responder = await nats.connect(url)
    caller = await nats.connect(url)

    async def reply(message: Msg) -> None:
        await message.respond(message.data)

    await responder.subscribe("floor.echo", cb=reply)
    await responder.flush()
    try:
        return await median_ms(lambda _: caller.request("floor.echo", b"x" * 200, timeout=5), samples)
    finally:
        await responder.close()
        await caller.close()


async def one_row_commit_ms(owner_url: str, *, samples: int = SAMPLES) -> float:
    """One row inserted and committed on its own, prepared, by psycopg."""
    connection = await psycopg.AsyncConnection.connect(owner_url, autocommit=True, prepare_threshold=0)
    async with connection:
        await connection.execute("CREATE TABLE IF NOT EXISTS floor_commit (id text PRIMARY KEY, body text)")
        await connection.execute("TRUNCATE floor_commit")
        statement = "INSERT INTO floor_commit VALUES (%s, %s)"
        found = await median_ms(
            lambda number: connection.execute(statement, (str(number), "x" * 200)), samples
        )
        await connection.execute("DROP TABLE floor_commit")
    return found
