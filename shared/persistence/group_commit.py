"""Group commit: items that arrive together are committed together, and each gets its own answer.

A single item is committed at once. Items that arrive during a commit form the next group, so groups grow
with the load. A group that fails as a whole is halved, down to single items, so that a bad item is isolated
and the others succeed.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

from shared.errors import Unavailable
from shared.observability.metrics import GROUP_SIZE
from shared.observability.tracing import context_without_trace
from shared.tuning import GROUP_COMMIT_MAX_ITEMS, GROUP_COMMIT_MAX_WAITING

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def no_owner(_: object) -> None:
    """Return None: the items of this group have no owners, and the limits for each owner do not apply."""


class GroupCommit(Generic[Item, Answer]):
    """Collects items and calls `commit` with many at once.

    `commit` takes the items in the order of their arrival and returns one answer, or one exception, for each;
    when it raises, none of them has taken effect. If `isolates(error)` is true, the group is halved and tried
    again; otherwise (the database is away) every item gets the error.

    `owner` keeps the queue fair: a group that cannot hold all waiting items takes the same number of each
    owner, and one owner may have at most half of the places in the queue.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[Item]], Awaitable[Sequence[Answer | Exception]]],
        *,
        service: str,
        name: str,
        isolates: Callable[[Exception], bool],
        max_items: int = GROUP_COMMIT_MAX_ITEMS,
        max_waiting: int = GROUP_COMMIT_MAX_WAITING,
        owner: Callable[[Item], Hashable] = no_owner,
    ) -> None:
        self._commit = commit
        self._isolates = isolates
        self._max_items = max_items
        self._max_waiting = max_waiting
        self._owner = owner
        self._waiting: deque[tuple[Item, asyncio.Future[Answer]]] = deque()
        self._owned: Counter[Hashable] = Counter()
        """The number of waiting items of each owner."""
        self._running: asyncio.Task[None] | None = None
        self._size = GROUP_SIZE.labels(service, name)

    @property
    def waiting(self) -> int:
        """The number of items that wait for the next group."""
        return len(self._waiting)

    async def submit(self, item: Item) -> Answer:
        """Submit an item and return its answer once its group is committed.

        Raises the exception that `commit` returned or raised for it, and Unavailable when the queue is full.
        """
        return await self.put(item)

    def put(self, item: Item) -> "asyncio.Future[Answer]":
        """Submit an item and return a future of its answer; raises Unavailable when the queue is full."""
        if len(self._waiting) >= self._max_waiting:
            raise Unavailable(f"{self._max_waiting} others are waiting already; try again in a moment")
        owner = self._owner(item)
        if owner is not None and self._owned[owner] >= self._max_waiting // 2:
            raise Unavailable("too many for the same one are waiting already; try again in a moment")
        self._owned[owner] += 1
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._running is None:
            self._running = asyncio.create_task(self._run(), context=context_without_trace())
        return future

    async def close(self) -> None:
        """Wait until every submitted item is answered."""
        if self._running is not None:
            with suppress(asyncio.CancelledError):
                await self._running

    async def _run(self) -> None:
        try:
            while self._waiting:
                group = self._next_group()
                self._size.observe(len(group))
                await self._settle(group)
        finally:
            self._running = None

    def _next_group(self) -> list[tuple[Item, "asyncio.Future[Answer]"]]:
        if len(self._waiting) <= self._max_items:
            group = list(self._waiting)
            self._waiting.clear()
            self._owned.clear()
            return group
        share = max(1, self._max_items // len(self._owned))
        taken: Counter[Hashable] = Counter()
        group, later = [], []
        for waiting in self._waiting:
            owner = self._owner(waiting[0])
            if taken[owner] < share and len(group) < self._max_items:
                taken[owner] += 1
                group.append(waiting)
            else:
                later.append(waiting)
        # Remaining places are filled in the order of arrival.
        more = self._max_items - len(group)
        taken.update(self._owner(item) for item, _ in later[:more])
        group += later[:more]
        self._waiting = deque(later[more:])
        self._owned = +(self._owned - taken)
        return group

    async def _settle(self, group: list[tuple[Item, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._commit([item for item, _ in group])
        except Exception as error:  # noqa: BLE001 - becomes the answer of the items
            if len(group) == 1 or not self._isolates(error):
                for _, future in group:
                    _answer(future, error)
                return
            half = len(group) // 2
            await self._settle(group[:half])
            await self._settle(group[half:])
            return
        for (_, future), answer in zip(group, answers, strict=True):
            _answer(future, answer)


def _answer(future: "asyncio.Future[Answer]", answer: Answer | Exception) -> None:
    if future.done():  # The caller was cancelled.
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)
