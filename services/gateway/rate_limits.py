"""How many requests a customer, and an address, may make: beyond that 429, with when to come back.

Counted in this process alone, by a sliding window: with several replicas each allows as many.
"""

import math
import time
from dataclasses import dataclass, field

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from starlette.types import Scope

from services.gateway.problems import Refused
from services.gateway.settings import GatewaySettings


@dataclass(slots=True)
class RateLimits:
    """Counts requests."""

    per_customer: RateLimitItemPerMinute
    per_address: RateLimitItemPerMinute
    trusted_proxies: int
    _window: SlidingWindowCounterRateLimiter = field(
        default_factory=lambda: SlidingWindowCounterRateLimiter(MemoryStorage())
    )

    @classmethod
    def of(cls, settings: GatewaySettings) -> "RateLimits":
        """As the settings say."""
        return cls(
            RateLimitItemPerMinute(settings.gateway_rate_per_customer),
            RateLimitItemPerMinute(settings.gateway_rate_per_address),
            settings.gateway_trusted_proxies,
        )

    def count_customer(self, customer: str) -> None:
        """Count a request of a customer; raises Refused when it is one too many."""
        self._count(self.per_customer, "customer", customer)

    def count_address(self, scope: Scope) -> None:
        """Count a request from where it comes; raises Refused when it is one too many."""
        self._count(self.per_address, "address", self.address(scope))

    def address(self, scope: Scope) -> str:
        """Where a request comes from; proxies that are trusted say it, each for the one before it."""
        peer = scope["client"][0] if scope.get("client") else ""
        if not self.trusted_proxies:
            return str(peer)
        said = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        hops = [hop.strip() for hop in b",".join(said).decode("latin-1").split(",") if hop.strip()]
        return hops[-min(self.trusted_proxies, len(hops))] if hops else str(peer)

    def _count(self, limit: RateLimitItemPerMinute, kind: str, who: str) -> None:
        if self._window.hit(limit, kind, who):
            return
        seconds = max(1, math.ceil(self._window.get_window_stats(limit, kind, who).reset_time - time.time()))
        raise Refused(
            "too_many_requests",
            f"At most {limit.amount} requests a minute for one {kind}. Come back in {seconds} s.",
            {"retry_after_seconds": seconds},
            headers={"Retry-After": str(seconds)},
        )
