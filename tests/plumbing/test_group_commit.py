"""Group commit with limited groups: each owner gets a share, and none fills the queue alone."""

import asyncio
from collections.abc import Sequence

import pytest

from shared.errors import Unavailable
from shared.persistence.group_commit import GroupCommit

Item = tuple[str, int]


class Commits:
    """Records the committed groups; the first one waits until it is released."""

    def __init__(self) -> None:
        self.groups: list[list[Item]] = []
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()

    async def commit(self, items: Sequence[Item]) -> list[Item | Exception]:
        self.groups.append(list(items))
        self.begun.set()
        await self.go_on.wait()
        return list(items)


def collecting(commits: Commits, **limits: int) -> GroupCommit[Item, Item]:
    return GroupCommit(
        commits.commit,
        service="test",
        name="fair",
        isolates=lambda _: True,
        owner=lambda item: item[0],
        **limits,
    )


async def test_whoever_floods_the_queue_leaves_room_for_the_others() -> None:
    commits = Commits()
    group = collecting(commits, max_items=4, max_waiting=100)
    submitted = [asyncio.create_task(group.submit(("first", 0)))]
    await commits.begun.wait()
    loud = [("loud", number) for number in range(6)]
    quiet = [("ann", 1), ("bob", 1), ("bob", 2)]
    submitted += [asyncio.create_task(group.submit(item)) for item in [*loud, *quiet]]
    await asyncio.sleep(0)
    commits.go_on.set()
    assert await asyncio.gather(*submitted) == [("first", 0), *loud, *quiet]
    # One of each of three owners, and the fourth place to the first; then two of each.
    assert commits.groups[1:] == [
        [("loud", 0), ("ann", 1), ("bob", 1), ("loud", 1)],
        [("loud", 2), ("loud", 3), ("bob", 2), ("loud", 4)],
        [("loud", 5)],
    ]


async def test_nobody_fills_more_than_half_of_the_queue() -> None:
    commits = Commits()
    group = collecting(commits, max_items=4, max_waiting=6)
    for number in range(3):
        group.put(("loud", number))
    with pytest.raises(Unavailable, match="for the same one"):
        group.put(("loud", 3))
    waiting = [group.put(("ann", number)) for number in range(3)]
    with pytest.raises(Unavailable, match="6 others are waiting"):
        group.put(("bob", 1))
    commits.go_on.set()
    assert await asyncio.gather(*waiting) == [("ann", 0), ("ann", 1), ("ann", 2)]
    assert await group.submit(("loud", 4)) == ("loud", 4)
