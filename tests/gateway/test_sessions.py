"""Links, cookies and what keeps other sites from using them."""

import time
from typing import Any

import httpx
import pytest

from services.gateway.callers import Caller, scopes_of
from services.gateway.sessions import LINK_SECONDS, SESSION_SECONDS, Sessions
from services.gateway.tokens import BadToken
from tallystick.messages.base import Customer
from tests.gateway.alone import URL, alone, settings
from tests.support.gateway import ADMIN, READ, bearer

LINK = "/api/v1/billing/page-link"
ACME = Customer(type="organization", id="acme")
COOKIE = "__Host-tallystick"


async def opened(client: httpx.AsyncClient, **claims: Any) -> httpx.Response:
    """A browser that has opened a link."""
    made = await client.post(LINK, headers=bearer(ACME, **claims))
    assert made.status_code == 201, made.text
    return await client.get(made.json()["url"].removeprefix(URL))


def csrf_of(client: httpx.AsyncClient) -> str:
    caller = Sessions.of(settings()).caller(client.cookies[COOKIE])
    assert caller.csrf is not None
    return caller.csrf


async def test_a_link_begins_a_session_in_a_cookie_that_scripts_cannot_read() -> None:
    async with alone() as client:
        answer = await opened(client, member="user_7", email="member@example.com")
        assert (answer.status_code, answer.headers["location"]) == (303, "/billing")
        cookie = answer.headers["set-cookie"]
        for attribute in ("HttpOnly", "SameSite=lax", "Secure", "Path=/", f"Max-Age={SESSION_SECONDS}"):
            assert attribute in cookie
        caller = Sessions.of(settings()).caller(client.cookies[COOKIE])
    assert (caller.customer, caller.member) == (ACME, Customer(type="user", id="7"))
    assert caller.email == "member@example.com"


async def test_a_change_needs_the_sessions_secret() -> None:
    async with alone() as client:
        await opened(client)
        right = csrf_of(client)
        for headers in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": "guess"}):
            refused = await client.post(LINK, headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (403, "csrf_failed")
        elsewhere = {"X-CSRF-Token": right, "Sec-Fetch-Site": "cross-site"}
        assert (await client.post(LINK, headers=elsewhere)).status_code == 403
        assert (await client.post(LINK, headers={"X-CSRF-Token": right})).status_code == 201
        form = await client.post("/session/end", data={"csrf_token": right})
        assert form.status_code == 204
        assert (await client.post(LINK, headers={"X-CSRF-Token": right})).status_code == 401


async def test_the_secret_of_one_session_is_none_for_another() -> None:
    async with alone() as client:
        await opened(client)
        first = csrf_of(client)
        await opened(client)
        assert (await client.post(LINK, headers={"X-CSRF-Token": first})).status_code == 403


async def test_a_session_may_no_more_than_the_token_it_came_from() -> None:
    async with alone() as client:
        made = await client.post(LINK, headers=bearer(ACME, READ), json={"page": "billing"})
        await client.get(made.json()["url"].removeprefix(URL))
        refused = await client.post("/api/v1/billing/cancel", headers={"X-CSRF-Token": csrf_of(client)})
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")


async def test_the_operators_page_is_for_operators() -> None:
    async with alone() as client:
        refused = await client.post(LINK, headers=bearer(ACME), json={"page": "admin"})
        assert refused.status_code == 403
        made = await client.post(LINK, headers=bearer(ACME, ADMIN), json={"page": "admin"})
        answer = await client.get(made.json()["url"].removeprefix(URL))
        assert answer.headers["location"] == "/admin"


@pytest.mark.parametrize("token", ["", "x", "a.b.c"])
async def test_a_link_that_is_none_begins_nothing(token: str) -> None:
    async with alone() as client:
        answer = await client.get("/session", params={"token": token})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


async def test_links_and_sessions_are_not_taken_for_one_another_nor_for_bearer_tokens() -> None:
    sessions = Sessions.of(settings())
    caller = Caller(ACME, None, scopes_of(READ), time.time() + 60)
    link, expires_at = sessions.link(caller, "billing")
    assert 0 < expires_at - time.time() <= LINK_SECONDS
    token = link.partition("token=")[2]
    with pytest.raises(BadToken):
        sessions.caller(token)
    async with alone() as client:
        await opened(client)
        session = client.cookies[COOKIE]
        with pytest.raises(BadToken):
            sessions.opened(session)
        client.cookies.clear()
        for other in (token, session):
            answer = await client.get("/api/v1/billing/tiers", headers={"Authorization": f"Bearer {other}"})
            assert answer.status_code == 401


async def test_an_old_link_and_an_old_session_are_over(monkeypatch: pytest.MonkeyPatch) -> None:
    async with alone() as client:
        made = await client.post(LINK, headers=bearer(ACME))
        later = time.time() + LINK_SECONDS + 1
        with monkeypatch.context() as clock:
            clock.setattr(time, "time", lambda: later)
            answer = await client.get(made.json()["url"].removeprefix(URL))
        assert answer.status_code == 401
        await opened(client)
        later = time.time() + SESSION_SECONDS + 1
        with monkeypatch.context() as clock:
            clock.setattr(time, "time", lambda: later)
            assert (await client.get("/api/v1/billing/tiers")).status_code == 401
