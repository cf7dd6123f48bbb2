"""Ending what is under way when a worker stops."""

import asyncio
import time
from collections.abc import Collection
from contextlib import suppress
from typing import Any

DRAIN_SECONDS = 8.0
"""How long mails and webhooks that are under way may take to end; less than a worker has for its stop."""


async def drain(tasks: Collection["asyncio.Task[Any]"], seconds: float = DRAIN_SECONDS) -> None:
    """Wait until tasks have ended, whatever cancels the waiting meanwhile, and cancel those that have not."""
    end = time.monotonic() + seconds
    running = {task for task in tasks if not task.done()}
    while running and (left := end - time.monotonic()) > 0:
        with suppress(asyncio.CancelledError):
            _, running = await asyncio.wait(running, timeout=left)
    for task in running:
        task.cancel()
    if running:
        await asyncio.gather(*running, return_exceptions=True)
