"""The whole system with the gateway in front, and bearer tokens of a host application."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from joserfc import jwt
from joserfc.jwk import OctKey

from sandbox.ports import HOST, free_port
from tallystick.messages.base import Customer
from tests.support.stack import System

JWT_SECRET = "the-host-application-signs-with-this"
SESSION_SECRET = "the-gateway-signs-its-sessions-with"
MANAGE, READ, ADMIN = "billing:manage", "billing:read", "billing:admin"
NO_SETTINGS: Mapping[str, str] = {}


def token(customer: Any, scope: str = MANAGE, *, secret: str = JWT_SECRET, **claims: Any) -> str:
    """A bearer token as the host application makes them; good for an hour unless told otherwise."""
    body = {
        "customer": customer.model_dump(include={"type", "id"})
        if isinstance(customer, Customer)
        else customer,
        "scope": scope,
        "exp": int(time.time()) + 3600,
    }
    return jwt.encode({"alg": "HS256"}, body | claims, OctKey.import_key(secret))


def bearer(*arguments: Any, **claims: Any) -> dict[str, str]:
    """The header with such a token."""
    return {"Authorization": f"Bearer {token(*arguments, **claims)}"}


def gateway_settings(public_url: str = "") -> dict[str, str]:
    """Settings of a gateway for tests, with rate limits that are never reached."""
    return {
        "GATEWAY_JWT_SECRET": JWT_SECRET,
        "GATEWAY_SESSION_SECRET": SESSION_SECRET,
        "GATEWAY_RATE_PER_CUSTOMER": "1000000",
        "GATEWAY_RATE_PER_ADDRESS": "1000000",
        **({"GATEWAY_PUBLIC_URL": public_url} if public_url else {}),
    }


@dataclass(frozen=True, slots=True)
class GatewaySystem:
    """Everything, with the gateway's address."""

    system: System
    url: str

    def http(self, *arguments: Any, **claims: Any) -> httpx.AsyncClient:
        """A client for a caller: customer, scope and claims of the token."""
        headers = bearer(*arguments, **claims) if arguments else {}
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=30)


@contextmanager
def gateway_before(system: System, settings: Mapping[str, str] = NO_SETTINGS) -> Iterator[GatewaySystem]:
    """The gateway in front of a running system."""
    port = free_port()
    url = f"http://{HOST}:{port}"
    given = {**gateway_settings(url), "STRIPE_API_BASE": system.stripe_url, **settings}
    with system.stack.worker("gateway", given, port=port):
        yield GatewaySystem(system, url)
