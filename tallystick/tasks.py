"""Cancellation of background tasks."""

import asyncio
from typing import Any

CANCELLED_AGAIN_SECONDS = 2.0
"""Time before a task that still runs is cancelled again; long enough for normal clean-up."""


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until each of them has ended, ignoring their results and exceptions.

    The cancellation is repeated because up to Python 3.11 `asyncio.wait_for` swallows a cancellation that
    arrives together with the awaited result.
    """
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=CANCELLED_AGAIN_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)
