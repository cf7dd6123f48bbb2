"""How many requests a customer, and an address, may make: beyond that 429, with when to come back.

Counted in this process alone: with several replicas each allows as many. The libraries for this keep a thread
and a lock for expiry, which costs a request more than all else here; this is a dictionary.
"""

import math
import time
from dataclasses import dataclass, field

from starlette.types import Scope

from services.gateway.problem_details import ProblemError
from services.gateway.settings import GatewaySettings

WINDOW_SECONDS = 60.0
COUNTED_MAX = 100_000
"""Customers or addresses that are counted at a time; those heard of longest ago are forgotten first."""


@dataclass(slots=True)
class _Count:
    window: int
    now: int = 0
    before: int = 0


@dataclass(slots=True)
class SlidingWindow:
    """Counts by minutes; the minute before counts for as much of it as still lies within the last one."""

    allowed: int
    _counts: dict[str, _Count] = field(default_factory=dict)

    def hit(self, who: str, at: float) -> float | None:
        """Count a request; None if it may pass, else the seconds until one may. `at`: any steady seconds."""
        window, into = divmod(at, WINDOW_SECONDS)
        count = self._count(who, int(window))
        left = WINDOW_SECONDS - into
        if count.now + count.before * left / WINDOW_SECONDS < self.allowed:
            count.now += 1
            return None
        if count.now >= self.allowed:
            return left
        # So much of the minute before has to pass out of sight.
        return max(left - (self.allowed - count.now) * WINDOW_SECONDS / count.before, 0.0)

    def _count(self, who: str, window: int) -> _Count:
        count = self._counts.get(who)
        if count is None:
            if len(self._counts) >= COUNTED_MAX:
                del self._counts[next(iter(self._counts))]
            count = self._counts[who] = _Count(window)
        elif count.window != window:
            # Put in again, so that the dictionary's order is the order in which they were heard of.
            del self._counts[who]
            before = count.now if count.window == window - 1 else 0
            count = self._counts[who] = _Count(window, before=before)
        return count


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Counts requests."""

    per_customer: SlidingWindow
    per_address: SlidingWindow
    trusted_proxies: int

    @classmethod
    def of(cls, settings: GatewaySettings) -> "RateLimits":
        """As the settings say."""
        return cls(
            SlidingWindow(settings.gateway_rate_per_customer),
            SlidingWindow(settings.gateway_rate_per_address),
            settings.gateway_trusted_proxies,
        )

    def count_customer(self, customer: str) -> None:
        """Count a request of a customer; raises ProblemError when it is one too many."""
        _count(self.per_customer, "customer", customer)

    def count_address(self, scope: Scope) -> None:
        """Count a request from where it comes; raises ProblemError when it is one too many."""
        _count(self.per_address, "address", self.address(scope))

    def address(self, scope: Scope) -> str:
        """Where a request comes from; proxies that are trusted say it, each for the one before it."""
        peer = scope["client"][0] if scope.get("client") else ""
        if not self.trusted_proxies:
            return str(peer)
        said = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        hops = [hop.strip() for hop in b",".join(said).decode("latin-1").split(",") if hop.strip()]
        return hops[-min(self.trusted_proxies, len(hops))] if hops else str(peer)


def _count(window: SlidingWindow, kind: str, who: str) -> None:
    wait = window.hit(who, time.monotonic())
    if wait is None:
        return
    seconds = max(1, math.ceil(wait))
    raise ProblemError(
        "too_many_requests",
        f"At most {window.allowed} requests a minute for one {kind}. Come back in {seconds} s.",
        {"retry_after_seconds": seconds},
        headers={"Retry-After": str(seconds)},
    )
