"""Request coalescing: no answer is older than its request, and every waiting request gets one."""

import asyncio
from dataclasses import dataclass, field

import pytest

from services.gateway.request_coalescing import RequestCoalescer
from tests.support.waiting import eventually


@dataclass(slots=True)
class Service:
    """A service that answers with its value at the time of the question, once released."""

    value: int = 0
    asked: int = 0
    doors: "list[asyncio.Event]" = field(default_factory=list)

    async def answer(self) -> int:
        self.asked += 1
        seen = self.value
        door = asyncio.Event()
        self.doors.append(door)
        await door.wait()
        return seen

    async def open(self, number: int) -> None:
        await eventually(lambda: len(self.doors) > number)
        self.doors[number].set()


async def test_those_who_wait_together_share_one_question() -> None:
    service, coalescer = Service(), RequestCoalescer[int]()
    first = asyncio.create_task(coalescer.run("a", service.answer))
    await asyncio.sleep(0)
    others = [asyncio.create_task(coalescer.run("a", service.answer)) for _ in range(10)]
    await asyncio.sleep(0)
    await service.open(0)
    await service.open(1)
    assert await first == 0
    assert await asyncio.gather(*others) == [0] * 10
    assert service.asked == 2


async def test_nobody_sees_what_was_before_their_own_change() -> None:
    service, coalescer = Service(), RequestCoalescer[int]()
    first = asyncio.create_task(coalescer.run("a", service.answer))
    await eventually(lambda: service.doors)
    service.value = 7  # changed while the first question is on its way
    later = asyncio.create_task(coalescer.run("a", service.answer))
    await service.open(0)
    await service.open(1)
    assert (await first, await later) == (0, 7)


async def test_different_questions_do_not_wait_for_one_another() -> None:
    service, coalescer = Service(), RequestCoalescer[int]()
    one = asyncio.create_task(coalescer.run("a", service.answer))
    other = asyncio.create_task(coalescer.run("b", service.answer))
    await service.open(1)
    assert await other == 0
    assert not one.done()
    await service.open(0)
    await one


async def test_a_failure_is_everybodys_who_waited_and_nobodys_after() -> None:
    coalescer = RequestCoalescer[int]()

    async def fail() -> int:
        await asyncio.sleep(0)
        raise ValueError

    asked = [asyncio.create_task(coalescer.run("a", fail)) for _ in range(3)]
    assert all(
        isinstance(found, ValueError) for found in await asyncio.gather(*asked, return_exceptions=True)
    )

    async def succeed() -> int:
        return 1

    assert await coalescer.run("a", succeed) == 1


async def test_whoever_goes_away_takes_nobody_along() -> None:
    service, coalescer = Service(), RequestCoalescer[int]()
    gone = asyncio.create_task(coalescer.run("a", service.answer))
    stays = asyncio.create_task(coalescer.run("a", service.answer))
    await eventually(lambda: service.doors)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    await service.open(0)
    await service.open(1)
    assert await stays == 0
