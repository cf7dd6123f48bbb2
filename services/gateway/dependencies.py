"""What the gateway is made of, put together once and found by every route."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from services.gateway.auth.session_records import SessionRecords
from services.gateway.auth.sessions import Sessions
from services.gateway.auth.tokens import Tokens
from services.gateway.change_feed import LiveFeed
from services.gateway.rate_limits import RateLimits
from services.gateway.service_client import Billing
from services.gateway.settings import GatewaySettings


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that outlives a request."""

    settings: GatewaySettings
    billing: Billing
    tokens: Tokens
    sessions: Sessions
    session_records: SessionRecords
    rates: RateLimits
    live: LiveFeed


async def parts_of(request: Request) -> Parts:
    """The running gateway's parts."""
    return cast(Parts, request.app.state.parts)


async def _billing(request: Request) -> Billing:
    return cast(Parts, request.app.state.parts).billing


Gateway = Annotated[Parts, Depends(parts_of)]
"""For a route that needs more than to ask the services."""
Services = Annotated[Billing, Depends(_billing)]
"""For a route that asks the services."""
