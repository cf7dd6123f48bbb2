"""One tick for many rows: the duration of its job and the memory of its worker."""

import asyncio
import json
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import nats
import psycopg

from tests.support.stack import Stack

POLL_SECONDS = 0.1
TIMEOUT_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Ticked:
    """Duration and memory of one tick."""

    seconds: float
    peak_mib: float


async def tick_until_done(running: Stack, service: str, job: str, at: datetime, still_due: str) -> Ticked:
    """Publish one tick and wait until `still_due`, a query that is given its moment, finds nothing."""
    clock = await nats.connect(running.nats.users["clock"])
    body = json.dumps({"at": at.isoformat()}).encode()
    async with await psycopg.AsyncConnection.connect(running.owner_url, autocommit=True) as connection:
        started = time.perf_counter()
        await clock.request(f"billing.ticks.{service}.{job}", body, timeout=10)
        while True:
            row = await (await connection.execute(still_due.encode(), (at,))).fetchone()
            if not row or not row[0]:
                break
            if time.perf_counter() - started > TIMEOUT_SECONDS:
                raise TimeoutError(running.log(service).read_text()[-2000:])
            await asyncio.sleep(POLL_SECONDS)
        seconds = time.perf_counter() - started
    await clock.close()
    return Ticked(seconds, _peak_mib(running.children[service].pid))


def _peak_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
