"""The sliding window of the rate limiter, on a simulated clock."""

import pytest

from services.gateway import rate_limits
from services.gateway.rate_limits import SlidingWindow


def hits(window: SlidingWindow, count: int, at: float, who: str = "acme") -> list[float | None]:
    return [window.hit(who, at) for _ in range(count)]


def test_so_many_a_minute_and_then_again() -> None:
    window = SlidingWindow(limit=3)
    assert hits(window, 4, at=0.0) == [None, None, None, 60.0]
    assert hits(window, 1, at=59.0) == [1.0]
    # Two minutes on nothing of it is left.
    assert hits(window, 3, at=120.0) == [None] * 3


def test_the_minute_before_counts_for_what_is_left_of_it() -> None:
    window = SlidingWindow(limit=10)
    assert hits(window, 10, at=59.0) == [None] * 10
    # Half a minute later 5 of the 10 still count: 5 more may pass, the next one soon.
    assert hits(window, 6, at=90.0)[:5] == [None] * 5
    refused = window.hit("acme", 90.0)
    assert refused is not None and 0 <= refused <= 6.0
    assert window.hit("acme", 97.0) is None


def test_each_is_counted_alone() -> None:
    window = SlidingWindow(limit=1)
    assert hits(window, 2, at=5.0) == [None, 55.0]
    assert hits(window, 1, at=5.0, who="other") == [None]


def test_memory_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "COUNTED_MAX", 2)
    window = SlidingWindow(limit=1)
    for who in ("one", "two", "three"):
        assert window.hit(who, 1.0) is None
    assert window.hit("three", 1.0) is not None
    assert window.hit("one", 1.0) is None  # forgotten
