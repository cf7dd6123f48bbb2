"""Waiting for a condition instead of for a time."""

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any

EVENTUALLY_SECONDS = 15.0
"""Generous: a condition that holds is seen within milliseconds, one that does not fails the test anyway."""
POLL_SECONDS = 0.02


async def eventually(
    look: Callable[[], Any],
    *,
    within_seconds: float = EVENTUALLY_SECONDS,
    every_seconds: float = POLL_SECONDS,
) -> Any:
    """What `look` returns once it is true; fails with the last value or error when that takes too long."""
    deadline = time.monotonic() + within_seconds
    while True:
        last: object
        try:
            found = look()
            value = await found if inspect.isawaitable(found) else found
            if value:
                return value
            last = value
        except Exception as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_seconds} s; last seen: {last!r}")
        await asyncio.sleep(every_seconds)
