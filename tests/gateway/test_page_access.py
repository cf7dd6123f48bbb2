"""Access to each page and form by scope."""

import re

import pytest
from fastapi.routing import APIRoute

from services.gateway.pages.router import ROUTERS
from tests.support.gateway import ADMIN, MANAGE, READ, bearer
from tests.support.page_visitor import BROWSER
from tests.support.servers import NatsServer
from tests.support.standalone_gateway import URL, alone, with_sessions

OPEN = {
    ("GET", "/session"),
    ("POST", "/language"),
    ("GET", "/claim/{token}"),
    ("GET", "/notifications/{token}"),
    ("POST", "/notifications/{token}"),
    ("GET", "/notifications/{token}/unsubscribe"),
    ("POST", "/notifications/{token}/unsubscribe"),
}
"""A link says itself who comes, a language is no secret, who is invited may look before signing in, and a
link in a mail opens its recipient's preferences."""


ROUTES = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
PAGES = sorted((method, route.path) for route in ROUTES for method in route.methods or ())
GUARDED = [page for page in PAGES if page not in OPEN]
FORMS = [(method, path) for method, path in GUARDED if method == "POST"]
LESSER = {READ: "other:read", MANAGE: READ, ADMIN: MANAGE}


def needed(method: str, path: str) -> str | None:
    """Return the scope that a page needs by its path; anyone signed in may sign out."""
    if path == "/sign-out":
        return None
    if path.startswith("/admin"):
        return ADMIN
    if path.startswith("/billing/webhooks"):
        return MANAGE
    return MANAGE if method == "POST" and path.startswith("/billing") else READ


def filled(path: str) -> str:
    """Return the path with values for its parameters."""
    return re.sub(r"\{[a-z_]+\}", "organization_acme", path)


def test_there_are_pages_to_be_tried() -> None:
    assert set(PAGES) >= OPEN
    assert len(FORMS) > 15 and len(GUARDED) > len(FORMS)


@pytest.mark.parametrize(("method", "path"), GUARDED)
async def test_nobody_is_sent_to_sign_in(method: str, path: str) -> None:
    async with alone() as client:
        answer = await client.request(method, filled(path), headers=BROWSER)
    assert answer.status_code == 401
    assert "You are signed out" in answer.text


@pytest.mark.parametrize(("method", "path"), [page for page in GUARDED if needed(*page)])
async def test_whoever_lacks_the_scope_is_refused(method: str, path: str) -> None:
    lesser = LESSER[needed(method, path) or READ]
    async with alone() as client:
        headers = BROWSER | bearer("organization_acme", lesser)
        answer = await client.request(method, filled(path), headers=headers)
    assert answer.status_code == 403


async def test_a_form_needs_the_secret_of_its_session(nats_server: NatsServer) -> None:
    await nats_server.provision()
    async with with_sessions(nats_server) as client:
        asked = {"page": "admin"}
        link = await client.post(
            "/api/v1/billing/page-link", json=asked, headers=bearer("organization_acme", ADMIN)
        )
        await client.get(link.json()["url"].removeprefix(URL))
        for method, path in FORMS:
            for token in ({}, {"csrf_token": "guessed"}):
                answer = await client.request(method, filled(path), headers=BROWSER, data=token)
                assert answer.status_code == 403, path
                assert "This did not come from this page." in answer.text
