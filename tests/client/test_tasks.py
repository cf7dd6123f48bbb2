"""Cancelling background tasks, even where a cancellation gets lost."""

import asyncio

import pytest

from tallystick import tasks


async def asks_for_ever(answers: list[asyncio.Future[None]]) -> None:
    """Wait as nats-py does for its answers, one after the other."""
    while True:
        answers.append(asyncio.get_running_loop().create_future())
        await asyncio.wait_for(answers[-1], 60)


async def goes_on_once(cancelled: list[int]) -> None:
    """Ignore the first cancellation."""
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(1)
            if len(cancelled) > 1:
                raise


async def breaks() -> None:
    """End with an error of its own."""
    await asyncio.sleep(0)
    raise ValueError("broken")


async def test_a_task_that_ignores_cancellation_is_cancelled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tasks, "CANCELLED_AGAIN_SECONDS", 0.05)
    cancelled: list[int] = []
    task = asyncio.create_task(goes_on_once(cancelled))
    await asyncio.sleep(0)
    await tasks.end(task)
    assert task.cancelled()
    assert len(cancelled) == 2


async def test_a_task_that_is_cancelled_as_its_answer_comes_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "CANCELLED_AGAIN_SECONDS", 0.05)
    answers: list[asyncio.Future[None]] = []
    task = asyncio.create_task(asks_for_ever(answers))
    await asyncio.sleep(0)
    answers[0].set_result(None)
    await tasks.end(task)
    assert task.cancelled()


async def test_ending_waits_for_all_and_raises_nothing_of_theirs() -> None:
    running = asyncio.create_task(asyncio.sleep(60))
    broken, over = asyncio.create_task(breaks()), asyncio.create_task(asyncio.sleep(0))
    await asyncio.wait({broken, over})
    await tasks.end(running, broken, over)
    assert running.cancelled()
    await tasks.end()
