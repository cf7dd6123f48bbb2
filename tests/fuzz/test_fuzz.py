"""A minute of fuzzing with a fixed seed."""

import asyncio

import pytest

from tests.fuzz.run import fuzz
from tests.support.gateway import gateway_before
from tests.support.stack import whole_system

SECONDS = 45
SEED = 1
ATTEMPTS_MIN = 200
"""On the slowest machine; fewer would mean that something waits."""


@pytest.mark.timeout(SECONDS + 120)
def test_nothing_that_comes_by_chance_does_harm() -> None:
    with whole_system() as system, gateway_before(system) as gateway:  # its catalog is of no use to others
        findings = asyncio.run(fuzz(gateway, SECONDS, SEED))
    assert findings.problems == []
    assert findings.attempts >= ATTEMPTS_MIN
