"""Links, session cookies and protection against cross-site requests."""

import asyncio
import time
from typing import Any

import httpx
import pytest

from services.gateway.auth.principal import Caller, scopes_of
from services.gateway.auth.sessions import LINK_SECONDS, SESSION_SECONDS, Sessions
from services.gateway.auth.tokens import InvalidToken
from tallystick.messages.base import Customer
from tests.support.gateway import ADMIN, READ, bearer
from tests.support.servers import NatsServer
from tests.support.standalone_gateway import URL, alone, settings, with_sessions

LINK = "/api/v1/billing/page-link"
ACME = Customer(type="organization", id="acme")
COOKIE = "__Host-tallystick"


@pytest.fixture
async def sessions_server(nats_server: NatsServer) -> NatsServer:
    """A NATS with the bucket of sessions."""
    await nats_server.provision()
    return nats_server


async def opened(client: httpx.AsyncClient, **claims: Any) -> httpx.Response:
    """A browser that has opened a link."""
    made = await client.post(LINK, headers=bearer(ACME, **claims))
    assert made.status_code == 201, made.text
    return await client.get(made.json()["url"].removeprefix(URL))


def csrf_of(client: httpx.AsyncClient) -> str:
    caller = Sessions.of(settings()).caller(client.cookies[COOKIE])
    assert caller.csrf is not None
    return caller.csrf


async def test_a_link_starts_a_session_in_an_http_only_cookie(
    sessions_server: NatsServer,
) -> None:
    async with with_sessions(sessions_server) as client:
        answer = await opened(client, member="user_7", email="member@example.com")
        assert (answer.status_code, answer.headers["location"]) == (303, "/billing")
        cookie = answer.headers["set-cookie"]
        for attribute in ("HttpOnly", "SameSite=lax", "Secure", "Path=/", "Max-Age="):
            assert attribute in cookie
        assert (
            SESSION_SECONDS - 10 < int(cookie.partition("Max-Age=")[2].partition(";")[0]) <= SESSION_SECONDS
        )
        caller = Sessions.of(settings()).caller(client.cookies[COOKIE])
    assert (caller.customer, caller.member) == (ACME, Customer(type="user", id="7"))
    assert caller.email == "member@example.com"


async def test_a_change_needs_the_sessions_secret(sessions_server: NatsServer) -> None:
    async with with_sessions(sessions_server) as client:
        await opened(client)
        right = csrf_of(client)
        for headers in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": "guess"}):
            refused = await client.post("/session/end", headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (403, "csrf_failed")
        elsewhere = {"X-CSRF-Token": right, "Sec-Fetch-Site": "cross-site"}
        assert (await client.post("/session/end", headers=elsewhere)).status_code == 403
        assert (await client.post("/session/end", data={"csrf_token": right})).status_code == 204


async def test_the_secret_of_one_session_is_none_for_another(sessions_server: NatsServer) -> None:
    async with with_sessions(sessions_server) as client:
        await opened(client)
        first = csrf_of(client)
        await opened(client)
        assert (await client.post("/session/end", headers={"X-CSRF-Token": first})).status_code == 403


async def test_a_session_makes_no_links_so_that_none_follows_it(sessions_server: NatsServer) -> None:
    async with with_sessions(sessions_server) as client:
        await opened(client)
        refused = await client.post(LINK, headers={"X-CSRF-Token": csrf_of(client)})
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")


async def test_a_link_opens_once(sessions_server: NatsServer) -> None:
    async with with_sessions(sessions_server) as first, with_sessions(sessions_server) as other:
        link = (await first.post(LINK, headers=bearer(ACME))).json()["url"].removeprefix(URL)
        answers = await asyncio.gather(*(client.get(link) for client in (first, other, first, other)))
        assert sorted(answer.status_code for answer in answers) == [303, 401, 401, 401]
        assert (await other.get(link)).status_code == 401


async def test_signing_out_ends_the_session_wherever_its_cookie_is(sessions_server: NatsServer) -> None:
    async with with_sessions(sessions_server) as browser, with_sessions(sessions_server) as thief:
        await opened(browser)
        thief.cookies.set(COOKIE, browser.cookies[COOKIE])
        # No service answers the question; the session itself is valid.
        assert (await thief.get("/api/v1/billing/tiers")).status_code == 503
        ended = await browser.post("/session/end", headers={"X-CSRF-Token": csrf_of(browser)})
        assert ended.status_code == 204
        assert (await thief.get("/api/v1/billing/tiers")).status_code == 401


async def test_a_session_ends_two_hours_after_its_link_was_made(
    sessions_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with with_sessions(sessions_server) as client:
        made_at = time.time()
        link = (await client.post(LINK, headers=bearer(ACME))).json()["url"].removeprefix(URL)
        with monkeypatch.context() as clock:
            clock.setattr(time, "time", lambda: made_at + LINK_SECONDS - 10)
            await client.get(link)
        caller = Sessions.of(settings()).caller(client.cookies[COOKIE])
    assert made_at + SESSION_SECONDS - 10 <= caller.expires_at <= made_at + SESSION_SECONDS + 10


async def test_a_session_may_do_what_its_page_needs(sessions_server: NatsServer) -> None:
    async with with_sessions(sessions_server) as client:
        await opened(client, scope=ADMIN)
        caller = Sessions.of(settings()).caller(client.cookies[COOKIE])
    assert not caller.may(ADMIN), "the link led to the billing page"


async def test_a_session_may_no_more_than_the_token_it_came_from(sessions_server: NatsServer) -> None:
    async with with_sessions(sessions_server) as client:
        made = await client.post(LINK, headers=bearer(ACME, READ), json={"page": "billing"})
        await client.get(made.json()["url"].removeprefix(URL))
        refused = await client.post("/api/v1/billing/cancel", headers={"X-CSRF-Token": csrf_of(client)})
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")


async def test_the_operators_page_is_for_operators(sessions_server: NatsServer) -> None:
    async with with_sessions(sessions_server) as client:
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


async def test_links_sessions_and_bearer_tokens_do_not_mix(
    sessions_server: NatsServer,
) -> None:
    sessions = Sessions.of(settings())
    caller = Caller(ACME, None, scopes_of(READ), time.time() + 60)
    link, expires_at = sessions.link(caller, "billing")
    assert 0 < expires_at - time.time() <= LINK_SECONDS
    token = link.partition("token=")[2]
    with pytest.raises(InvalidToken):
        sessions.caller(token)
    async with with_sessions(sessions_server) as client:
        await opened(client)
        session = client.cookies[COOKIE]
        with pytest.raises(InvalidToken):
            sessions.verify_link(session)
        client.cookies.clear()
        for other in (token, session):
            answer = await client.get("/api/v1/billing/tiers", headers={"Authorization": f"Bearer {other}"})
            assert answer.status_code == 401


async def test_an_old_link_and_an_old_session_are_over(
    sessions_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with with_sessions(sessions_server) as client:
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
