"""Requests that the gateway rejects by itself: tokens valid for years, foreign URLs, incomplete bodies."""

import asyncio
import time
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from services.gateway import middleware
from services.gateway.auth.principal import Caller, scopes_of
from services.gateway.auth.tokens import LIFETIME_MAX_SECONDS, InvalidToken, TokenVerifier
from services.gateway.problem_details import ProblemError
from services.gateway.return_urls import check_return_urls
from tallystick.messages.base import Customer
from tests.support.gateway import bearer, token
from tests.support.standalone_gateway import alone, settings

ACME = Customer(type="organization", id="acme")
HOST = Caller(ACME, None, scopes_of("billing:manage"), time.time() + 60)
SESSION = Caller(ACME, None, scopes_of("billing:manage"), time.time() + 60, None, "session_1", "secret")


async def test_a_token_is_good_for_a_year_at_most() -> None:
    tokens = TokenVerifier(settings())
    year = int(time.time()) + LIFETIME_MAX_SECONDS
    assert (await tokens.caller(token(ACME, exp=year - 60))).customer == ACME
    with pytest.raises(InvalidToken, match="more than a year"):
        await tokens.caller(token(ACME, exp=year + 60))


@pytest.mark.parametrize(
    ("caller", "origins", "url", "is_allowed"),
    [
        (HOST, "", "https://anything.example/thanks", True),
        (SESSION, "", "https://anything.example/thanks", False),
        (SESSION, "", "https://billing.example/billing", True),
        (HOST, "https://app.example", "https://app.example/thanks", True),
        (HOST, "https://app.example", "https://APP.example/thanks", True),
        (HOST, "https://app.example", "https://evil.example/thanks", False),
        (HOST, "https://app.example", "https://app.example.evil.example/", False),
        (HOST, "https://app.example", "https://app.example@evil.example/", False),
        (HOST, "https://app.example", "http://app.example/thanks", False),
        (HOST, "https://app.example", "https://app.example:444/thanks", False),
        (HOST, "https://app.example", "https://evil.example\\@app.example/", False),
        (SESSION, "https://a.example, https://app.example", "https://app.example/", True),
    ],
)
def test_stripes_pages_lead_back_to_origins_that_are_named(
    caller: Caller, origins: str, url: str, is_allowed: bool
) -> None:
    gateway = settings(gateway_return_origins=origins)
    if is_allowed:
        check_return_urls(gateway, caller, success_url=url)
        return
    with pytest.raises(ProblemError) as refused:
        check_return_urls(gateway, caller, success_url=url)
    assert refused.value.code == "invalid_message"


def test_origins_that_are_none_are_refused_at_the_start() -> None:
    with pytest.raises(ValidationError):
        settings(gateway_return_origins="https://app.example/path")


async def test_metrics_are_for_those_who_know_the_token() -> None:
    async with alone() as client:
        assert (await client.get("/metrics")).status_code == 404
    secret = "a-token-of-the-metrics"
    async with alone(metrics_token=SecretStr(secret)) as client:
        for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer guessed"}):
            assert (await client.get("/metrics", headers=headers)).status_code == 401
        answer = await client.get("/metrics", headers={"Authorization": f"Bearer {secret}"})
    assert answer.status_code == 200


async def test_a_half_sent_body_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "BODY_SECONDS", 0.2)

    async def half() -> Any:
        yield b'{"page":'
        await asyncio.Event().wait()

    async with alone() as client:
        async with asyncio.timeout(10):
            answer = await client.post("/api/v1/billing/page-link", content=half(), headers=bearer(ACME))
    assert (answer.status_code, answer.json()["code"]) == (408, "request_timeout")
    assert answer.headers["connection"] == "close"
