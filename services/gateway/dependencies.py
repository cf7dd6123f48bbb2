"""The gateway's shared state and the FastAPI dependencies that give it to routes."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from services.gateway.auth.session_records import SessionRecords
from services.gateway.auth.sessions import Sessions
from services.gateway.auth.tokens import TokenVerifier
from services.gateway.change_feed import ChangeFeed
from services.gateway.rate_limits import RateLimits
from services.gateway.service_client import ServiceClient
from services.gateway.settings import GatewaySettings


@dataclass(frozen=True, slots=True)
class GatewayState:
    """The objects that live as long as the application, kept as `app.state.gateway`."""

    settings: GatewaySettings
    services: ServiceClient
    tokens: TokenVerifier
    sessions: Sessions
    session_records: SessionRecords
    rate_limits: RateLimits
    change_feed: ChangeFeed


async def get_state(request: Request) -> GatewayState:
    """Return the state of the application that serves a request."""
    return state_of(request)


def state_of(request: Request) -> GatewayState:
    """Return the state of the application that serves a request, without awaiting."""
    return cast(GatewayState, request.app.state.gateway)


async def _get_services(request: Request) -> ServiceClient:
    return state_of(request).services


StateDep = Annotated[GatewayState, Depends(get_state)]
"""For routes that need more than the other services."""
ServiceClientDep = Annotated[ServiceClient, Depends(_get_services)]
"""For routes that only send messages to the other services."""
