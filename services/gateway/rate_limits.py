"""Rate limits per customer and per address; a request above the limit gets 429 with `Retry-After`.

Requests are counted in this process alone: with several replicas, each allows the full rate. The usual
libraries expire entries with a thread and a lock, which costs more per request than the dictionary here.
"""

import math
import time
from dataclasses import dataclass, field

from starlette.types import Scope

from services.gateway.problem_details import ProblemError
from services.gateway.settings import GatewaySettings

WINDOW_SECONDS = 60.0
COUNTED_MAX = 100_000
"""How many customers or addresses are counted at a time; the least recently seen are dropped first."""

LICENSE_KEY_REQUESTS_A_MINUTE = 1_200
"""A thousand machines of one license may refresh at once."""
WRONG_LICENSE_KEYS_A_MINUTE = 10
"""For one address: somebody who types a key needs a few, somebody who guesses needs 2^159."""


@dataclass(slots=True)
class _WindowCount:
    window: int
    current: int = 0
    previous: int = 0


@dataclass(slots=True)
class SlidingWindow:
    """A sliding window counter; the previous minute counts as far as it overlaps the last 60 seconds."""

    limit: int
    _counts: dict[str, _WindowCount] = field(default_factory=dict)

    def hit(self, key: str, at: float) -> float | None:
        """Count a request at a monotonic time; return None if it is allowed, else the seconds to wait."""
        wait = self.wait(key, at)
        if wait is None:
            self._count(key, int(at // WINDOW_SECONDS)).current += 1
        return wait

    def wait(self, key: str, at: float) -> float | None:
        """Return None if a request would be allowed, else the seconds to wait."""
        window, elapsed = divmod(at, WINDOW_SECONDS)
        count = self._count(key, int(window))
        left = WINDOW_SECONDS - elapsed
        if count.current + count.previous * left / WINDOW_SECONDS < self.limit:
            return None
        if count.current >= self.limit:
            return left
        # Wait until enough of the previous minute has left the window.
        return max(left - (self.limit - count.current) * WINDOW_SECONDS / count.previous, 0.0)

    def _count(self, key: str, window: int) -> _WindowCount:
        count = self._counts.get(key)
        if count is None:
            if len(self._counts) >= COUNTED_MAX:
                del self._counts[next(iter(self._counts))]
            count = self._counts[key] = _WindowCount(window)
        elif count.window != window:
            # Inserted again, so that the dictionary is ordered by when keys were last seen.
            del self._counts[key]
            previous = count.current if count.window == window - 1 else 0
            count = self._counts[key] = _WindowCount(window, previous=previous)
        return count


@dataclass(frozen=True, slots=True)
class RateLimits:
    """The limits per customer and per address."""

    per_customer: SlidingWindow
    per_address: SlidingWindow
    trusted_proxies: int
    per_license_key: SlidingWindow
    wrong_license_keys: SlidingWindow
    """Wrong license keys, by address."""

    @classmethod
    def of(cls, settings: GatewaySettings) -> "RateLimits":
        """Create the limits from the settings."""
        return cls(
            SlidingWindow(settings.gateway_rate_per_customer),
            SlidingWindow(settings.gateway_rate_per_address),
            settings.gateway_trusted_proxies,
            SlidingWindow(LICENSE_KEY_REQUESTS_A_MINUTE),
            SlidingWindow(WRONG_LICENSE_KEYS_A_MINUTE),
        )

    def count_customer(self, customer: str) -> None:
        """Count a request of a customer. Raises ProblemError above the limit."""
        _check(self.per_customer, "customer", customer)

    def count_address(self, scope: Scope) -> None:
        """Count a request of a client address. Raises ProblemError above the limit."""
        _check(self.per_address, "address", self.address(scope))

    def count_license_key(self, scope: Scope, key_hash: str) -> None:
        """Count a request with a license key. Raises ProblemError above the limit, or after wrong keys."""
        wait = self.wrong_license_keys.wait(self.address(scope), time.monotonic())
        if wait is not None:
            raise _too_many(
                self.wrong_license_keys.limit, "wrong license keys a minute for one address", wait
            )
        _check(self.per_license_key, "license key", key_hash)

    def count_wrong_license_key(self, scope: Scope) -> None:
        """Count a wrong license key of a client address. Raises ProblemError above the limit."""
        wait = self.wrong_license_keys.hit(self.address(scope), time.monotonic())
        if wait is not None:
            raise _too_many(
                self.wrong_license_keys.limit, "wrong license keys a minute for one address", wait
            )

    def address(self, scope: Scope) -> str:
        """Return the client address, taken from `X-Forwarded-For` if proxies are trusted."""
        peer = scope["client"][0] if scope.get("client") else ""
        if not self.trusted_proxies:
            return str(peer)
        forwarded = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        hops = [hop.strip() for hop in b",".join(forwarded).decode("latin-1").split(",") if hop.strip()]
        return hops[-min(self.trusted_proxies, len(hops))] if hops else str(peer)


def _check(window: SlidingWindow, kind: str, key: str) -> None:
    wait = window.hit(key, time.monotonic())
    if wait is not None:
        raise _too_many(window.limit, f"requests a minute for one {kind}", wait)


def _too_many(limit: int, what: str, wait: float) -> ProblemError:
    seconds = max(1, math.ceil(wait))
    return ProblemError(
        "too_many_requests",
        f"At most {limit} {what}. Come back in {seconds} s.",
        {"retry_after_seconds": seconds},
        headers={"Retry-After": str(seconds)},
    )
