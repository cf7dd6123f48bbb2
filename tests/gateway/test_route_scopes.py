"""Scopes: each route of the document rejects anonymous requests and those without its scope."""

import re
from typing import Any

import pytest

from services.gateway.application import make_api
from tests.support.gateway import ADMIN, MANAGE, READ, bearer
from tests.support.standalone_gateway import alone

DOCUMENT = make_api().openapi()
OPERATIONS = [
    (method.upper(), path) for path, operations in DOCUMENT["paths"].items() for method in operations
]
PUBLIC = {
    ("GET", "/api/v1/seats/invitations/{token}"),
    ("GET", "/.well-known/tallystick-licenses.json"),
    ("POST", "/api/v1/licenses/activate"),
    ("POST", "/api/v1/licenses/deactivate"),
    ("POST", "/api/v1/licenses/refresh"),
    ("POST", "/api/v1/licenses/validate"),
}
"""A token says what it opens; machines have a license key in the body; public keys are public."""
READ_WITH_POST = {
    ("POST", "/api/v1/billing/preview-change"),
    ("POST", "/api/v1/billing/page-link"),
    ("POST", "/api/v1/seats/claim"),
    ("PUT", "/api/v1/billing/notifications/preferences"),
}
"""Neither a preview nor a link changes anything; a seat is claimed by who was invited; preferences are a
person's own."""
PROTECTED = [operation for operation in OPERATIONS if operation not in PUBLIC]


def needed(method: str, path: str) -> str:
    """Return the scope that a route needs by its path."""
    if path.startswith("/api/v1/admin/"):
        return ADMIN
    if path.startswith("/api/v1/billing/webhook-endpoints"):
        return MANAGE
    return READ if method == "GET" or (method, path) in READ_WITH_POST else MANAGE


def filled(path: str) -> str:
    """Return the path with values for its parameters."""
    return re.sub(r"\{[a-z_]+\}", "sub_01jk2m3n4p5q6r7s8t9v0w1x2y", path)


def test_every_route_but_the_public_ones_needs_somebody() -> None:
    for method, path in OPERATIONS:
        secured = "security" in DOCUMENT["paths"][path][method.lower()]
        assert secured == ((method, path) not in PUBLIC), path


@pytest.mark.parametrize(("method", "path"), PROTECTED)
async def test_nobody_is_refused(method: str, path: str) -> None:
    async with alone() as client:
        answer = await client.request(method, filled(path))
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(("method", "path"), PROTECTED)
async def test_whoever_lacks_the_scope_is_refused(method: str, path: str) -> None:
    lesser: dict[str, Any] = {READ: "other:read", MANAGE: READ, ADMIN: MANAGE}
    async with alone() as client:
        headers = bearer("organization_acme", lesser[needed(method, path)])
        answer = await client.request(method, filled(path), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")


@pytest.mark.parametrize(("method", "path"), PROTECTED)
async def test_whoever_has_the_scope_gets_past(method: str, path: str) -> None:
    # With the scope the request is invalid or the service unavailable, but not forbidden.
    async with alone() as client:
        headers = bearer("user_7", needed(method, path))
        answer = await client.request(method, filled(path), headers=headers, content=b"{", timeout=30)
    assert answer.status_code in (201, 400, 503), answer.text
