"""Requests that wait for the same answer at the same moment share one question.

Whoever comes while a question is on its way waits for the next one, so that nobody gets an answer that is
older than their own request: what they changed before, they see.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


@dataclass(slots=True)
class _Turns(Generic[Answer]):
    running: "asyncio.Task[Answer]"
    following: "asyncio.Task[Answer] | None" = None


@dataclass(slots=True)
class Joining(Generic[Answer]):
    """Questions on their way, by what they ask."""

    _turns: dict[Hashable, _Turns[Answer]] = field(default_factory=dict)

    async def ask(self, key: Hashable, question: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer to a question that is asked from now on; shared with all who wait for the same."""
        turns = self._turns.get(key)
        if turns is None:
            task = asyncio.create_task(self._run(key, question))
            task.add_done_callback(self._seen)
            self._turns[key] = _Turns(task)
            # Shielded: a browser that goes away takes nobody else's answer along.
            return await asyncio.shield(task)
        if turns.following is None:
            turns.following = asyncio.create_task(self._follow(key, turns.running, question))
            turns.following.add_done_callback(self._seen)
        return await asyncio.shield(turns.following)

    async def _follow(
        self, key: Hashable, before: "asyncio.Task[Answer]", question: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        await asyncio.wait([before])
        return await self._run(key, question)

    async def _run(self, key: Hashable, question: Callable[[], Awaitable[Answer]]) -> Answer:
        try:
            return await question()
        finally:
            self._next(key)

    @staticmethod
    def _seen(task: "asyncio.Task[Answer]") -> None:
        # Whoever waited may be gone; then a failure is nobody's, which asyncio would complain of.
        if not task.cancelled():
            task.exception()

    def _next(self, key: Hashable) -> None:
        turns = self._turns[key]
        if turns.following is None:
            del self._turns[key]
        else:
            self._turns[key] = _Turns(turns.following)
