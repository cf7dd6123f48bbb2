"""The floors: the time of the servers themselves, measured in the same run as the product."""

import asyncio
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from statistics import median

import psycopg
from nats.aio.client import Client

from shared.persistence.migrations import ROOT
from tests.benchmarks.echo_worker import BARE

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


async def nats_round_trip_ms(caller: Client, *, samples: int = SAMPLES) -> float:
    """A request to the bare echo, which runs in a process of its own as a worker does, and its reply."""
    return await median_ms(lambda _: caller.request(BARE, b"x" * 200, timeout=5), samples)


@asynccontextmanager
async def echoing(nats_url: str) -> AsyncIterator[None]:
    """The echo worker at work, as the given user."""
    arguments = ["-m", "tests.benchmarks.echo_worker", nats_url]
    echo = await asyncio.create_subprocess_exec(sys.executable, *arguments, cwd=ROOT, stdout=PIPE)
    try:
        if echo.stdout is not None:
            await echo.stdout.readline()
        yield
    finally:
        echo.terminate()
        await echo.wait()


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
