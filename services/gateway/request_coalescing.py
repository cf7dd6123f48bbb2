"""Lets concurrent requests for the same answer share one call.

A request that arrives while a call is running waits for the next call, so that no request gets an answer
older than itself: a caller sees the effect of their own change.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


@dataclass(slots=True)
class _Calls(Generic[Answer]):
    running: "asyncio.Task[Answer]"
    following: "asyncio.Task[Answer] | None" = None


@dataclass(slots=True)
class RequestCoalescer(Generic[Answer]):
    """The running calls, by key."""

    _calls: dict[Hashable, _Calls[Answer]] = field(default_factory=dict)

    async def run(self, key: Hashable, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """Return the answer of a call that starts from now on, shared by all requests with the same key."""
        calls = self._calls.get(key)
        if calls is None:
            task = asyncio.create_task(self._run(key, call))
            task.add_done_callback(self._retrieve_exception)
            self._calls[key] = _Calls(task)
            # Shielded: a browser that disconnects does not cancel the call for the others.
            return await asyncio.shield(task)
        if calls.following is None:
            calls.following = asyncio.create_task(self._run_after(calls.running, key, call))
            calls.following.add_done_callback(self._retrieve_exception)
        return await asyncio.shield(calls.following)

    async def _run_after(
        self, previous: "asyncio.Task[Answer]", key: Hashable, call: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        await asyncio.wait([previous])
        return await self._run(key, call)

    async def _run(self, key: Hashable, call: Callable[[], Awaitable[Answer]]) -> Answer:
        try:
            return await call()
        finally:
            self._advance(key)

    @staticmethod
    def _retrieve_exception(task: "asyncio.Task[Answer]") -> None:
        # All waiting requests may have been cancelled; asyncio logs an exception that nothing retrieves.
        if not task.cancelled():
            task.exception()

    def _advance(self, key: Hashable) -> None:
        calls = self._calls[key]
        if calls.following is None:
            del self._calls[key]
        else:
            self._calls[key] = _Calls(calls.following)
