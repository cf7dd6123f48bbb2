"""Group commit: items that arrive together are committed together, and each gets an answer of its own.

A lone item goes at once. What arrives during a commit makes up the next one, so groups grow with the load by
themselves. When a group fails as a whole it is cut in halves, down to single items: a poisonous item is found
and takes no neighbour with it.
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
    """The owner of items that are all alike."""


class GroupCommit(Generic[Item, Answer]):
    """Collects items and has `commit` deal with many at once.

    `commit` takes the items in the order of their arrival and returns one answer, or one exception, for each;
    when it raises, none of them has taken effect. With `isolates(error)` true the group is halved and tried
    again; otherwise (the database is away) everybody in it gets the error.

    With `owner`, nobody who submits faster than groups are committed keeps the others waiting: a group that
    cannot hold all takes as many items of each owner, and none may have more than half of those that wait.
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
        """How many of those that wait each owner has."""
        self._running: asyncio.Task[None] | None = None
        self._size = GROUP_SIZE.labels(service, name)

    @property
    def waiting(self) -> int:
        """How many wait for the next group."""
        return len(self._waiting)

    async def submit(self, item: Item) -> Answer:
        """The answer to `item`, once its group is committed.

        Raises what `commit` answered or raised for it, or Unavailable when too many wait already.
        """
        return await self.put(item)

    def put(self, item: Item) -> "asyncio.Future[Answer]":
        """The same without waiting: the answer comes to the future, Unavailable is raised at once."""
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
        """Wait until everything submitted so far is answered."""
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
        # Places that are left go to whoever came first.
        more = self._max_items - len(group)
        taken.update(self._owner(item) for item, _ in later[:more])
        group += later[:more]
        self._waiting = deque(later[more:])
        self._owned = +(self._owned - taken)
        return group

    async def _settle(self, group: list[tuple[Item, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._commit([item for item, _ in group])
        except Exception as error:  # noqa: BLE001 - goes to whoever submitted the item
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
    if future.done():  # The one who asked has gone away.
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)
