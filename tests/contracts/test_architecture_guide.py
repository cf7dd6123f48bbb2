"""The architecture guide lists the files that a message goes through, in order: no more, no fewer."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from shared.persistence.migrations import ROOT
from tests.support.call_trace import WAYS, traced_system, tracer
from tests.support.stack import System

GUIDE = ROOT / "docs" / "guides" / "architecture.md"
pytestmark = pytest.mark.timeout(180)
"""A system of its own, with all workers, is started for it."""

STOP = re.compile(r"^\d+\. \[`(?P<shown>[^`]+)`\]\(\.\./\.\./(?P<path>[^)]+)\) \S", re.MULTILINE)


class Most(NamedTuple):
    """The most files and visits that one way may need."""

    files: int
    opened_again: int


LIMITS = {
    "consume": Most(files=16, opened_again=21),
    "webhook": Most(files=39, opened_again=24),
    "change_seat_count": Most(files=47, opened_again=41),
    "check_entitlement": Most(files=10, opened_again=3),
}
HEADINGS = {
    "consume": "From a request of `consume` to its reply",
    "webhook": "From Stripe's `customer.subscription.updated` to the entitlements bucket",
    "change_seat_count": "From a request of `change_seat_count` to its reply",
    "check_entitlement": "From a question, `check_entitlement`, to its answer",
}


@pytest.fixture(scope="module")
def recording() -> Iterator[tuple[System, Path]]:
    """A system of its own, whose workers record what they call."""
    with traced_system() as running:
        yield running


def listed(way: str) -> list[str]:
    """The files that the guide lists for a way."""
    section = GUIDE.read_text().partition(f"\n## {HEADINGS[way]}\n")[2].partition("\n## ")[0]
    stops = list(STOP.finditer(section))
    assert [stop["shown"] for stop in stops] == [stop["path"] for stop in stops]
    return [stop["path"] for stop in stops]


@pytest.mark.parametrize("way", WAYS)
async def test_a_message_goes_through_the_files_that_the_guide_lists(
    recording: tuple[System, Path], way: str
) -> None:
    async with tracer(*recording) as tracing:
        trace = await WAYS[way](tracing)
    assert trace.files == listed(way)
    assert len(trace.files) <= LIMITS[way].files
    assert len(trace.opened_again) <= LIMITS[way].opened_again, trace.opened_again
