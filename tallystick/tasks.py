"""Ending what runs in the background."""

import asyncio
from typing import Any

CANCELLED_AGAIN_SECONDS = 2.0
"""After this a task that goes on is cancelled once more; long enough for one that cleans up."""


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until each of them has ended, whatever it ends with.

    Up to Python 3.11 `asyncio.wait_for` drops a cancellation that comes together with what it waits for, and
    whoever is cancelled then goes on as if nothing had happened.
    """
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=CANCELLED_AGAIN_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)
