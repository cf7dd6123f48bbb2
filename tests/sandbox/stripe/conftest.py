"""A Stripe stand-in on a free port, the real SDK pointed at it, and a receiver of its webhooks."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.support.sandbox_stripe.stand_in import Receiver, StandIn


@pytest.fixture(scope="session")
def shared_stand_in() -> Iterator[StandIn]:
    """The one that tests share; they ask for `stand_in`."""
    running = StandIn()
    yield running
    running.stop()


@pytest.fixture
def stand_in(shared_stand_in: StandIn) -> StandIn:
    """An empty account, served over HTTP."""
    shared_stand_in.forget_everything()
    return shared_stand_in


@pytest.fixture
def browser() -> Iterator[httpx.Client]:
    """An HTTP client for the hosted pages; it does not follow redirects."""
    with httpx.Client() as client:
        yield client


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A webhook endpoint that records its deliveries."""
    running = Receiver()
    yield running
    running.stop()
