"""Routing of requests to handlers by method and path."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from sandbox.stripe.account import Account, Json
from sandbox.stripe.faults import StripeFault

Handler = Callable[[Account, Json, dict[str, str]], Any]
"""Takes the account, the validated parameters and the path ids; returns an object or a `Page`."""


@dataclass(frozen=True)
class Route:
    """API method. `accepts`: schema of its parameters (see `parameters`); None accepts any."""

    method: str
    path: str
    handler: Handler
    accepts: dict[str, Any] | None = None
    kind: str = "api"
    """`api`: JSON, with the secret key. `page`: for browsers. `knob`: for tests, without a key."""
    pattern: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(self.path))
        object.__setattr__(self, "pattern", re.compile(pattern))


@dataclass(frozen=True)
class Page:
    """Response of a page route: HTML, or a redirect if `location` is set."""

    html: str = ""
    status: int = 200
    location: str | None = None


class Router:
    """Router in which fixed paths take precedence over those with ids."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = sorted(routes, key=lambda route: route.path.count("{"))

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """Return the route and the path ids. Raises Stripe's fault for an unknown path."""
        for route in self._routes:
            match = route.pattern.fullmatch(path) if route.method == method else None
            if match is not None:
                return route, match.groupdict()
        raise StripeFault(
            f"Unrecognized request URL ({method}: {path}). If you are trying to list objects, remove the"
            " trailing"
            " slash. If you are trying to retrieve an object, make sure you passed a valid (non-empty)"
            " identifier"
            " in your code. Please see https://stripe.com/docs or we can help at"
            " https://support.stripe.com/.",
            status=404,
        )
