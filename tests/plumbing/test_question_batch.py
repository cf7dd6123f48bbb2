"""Question batches: waiting questions share one read, and each gets its own answer."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from shared.errors import Rejected
from shared.messaging.service import Service
from shared.persistence.plumbing_tables import service_metadata
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages.base import QUESTIONS, Count, Question, TolerantModel
from tests.support.runtime import Bound

FORBIDDEN, BROKEN = 7, 13


class Doubled(TolerantModel):
    """Twice as many."""

    value: Count


class Double(Question[Doubled], service="doubler", rejections=("unlucky",)):
    """How many are twice as many?"""

    number: Count


# Known in this module only; the registry is everybody's.
del QUESTIONS["doubler", "double"]


class Groups:
    """Records the batches in which questions were answered."""

    def __init__(self) -> None:
        self.numbers: list[list[int]] = []


service = Service("doubler", metadata=service_metadata("doubler"))


@service.question(Double, together=True)
async def double(work: UnitOfWork, questions: Sequence[Double], groups: Groups) -> list[Doubled | Exception]:
    """Double each number; one number is rejected, one raises an error."""
    numbers = [question.number for question in questions]
    groups.numbers.append(numbers)
    await work.driver.execute("SELECT 1")
    if BROKEN in numbers:
        raise RuntimeError("this number breaks everything")
    return [
        Rejected("unlucky", "Not that one.") if number == FORBIDDEN else Doubled(value=2 * number)
        for number in numbers
    ]


@pytest.fixture
def groups() -> Groups:
    return Groups()


@pytest.fixture
async def doubler(database_url: str, groups: Groups) -> AsyncIterator[Bound]:
    bound = Bound(service, database_url, [groups], url=database_url)
    yield bound
    await bound.close()


async def answers(doubler: Bound, *numbers: int) -> list[object]:
    """Ask all questions concurrently; return the value or the error code of each."""
    outcomes = await asyncio.gather(*(doubler.handle(Double(number=number)) for number in numbers))
    return [
        outcome.error.code if outcome.error is not None else (outcome.result or {}).get("value")
        for outcome in outcomes
    ]


async def test_concurrent_questions_share_one_read_in_order(doubler: Bound, groups: Groups) -> None:
    assert await answers(doubler, *range(6)) == [0, 2, 4, 6, 8, 10]
    # The six were submitted before the first group could begin.
    assert groups.numbers == [[0, 1, 2, 3, 4, 5]]
    assert await answers(doubler, 20) == [40]
    assert groups.numbers[1:] == [[20]]


async def test_one_refusal_is_nobody_elses(doubler: Bound) -> None:
    assert await answers(doubler, 1, FORBIDDEN, 2) == [2, "unlucky", 4]


async def test_one_that_breaks_takes_no_neighbour_with_it(doubler: Bound) -> None:
    assert await answers(doubler, 1, 2, BROKEN, 4) == [2, 4, "unavailable", 8]
