"""The middleware of every request: rate limits, size limits, headers and problem details."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.gateway import ADMIN, bearer
from tests.support.standalone_gateway import alone

TIERS, CANCEL = "/api/v1/billing/page-link", "/api/v1/billing/cancel"


async def statuses(client: Any, count: int, headers: dict[str, str]) -> list[int]:
    answers = await asyncio.gather(*(client.post(TIERS, headers=headers) for _ in range(count)))
    return sorted(answer.status_code for answer in answers)


async def test_the_rate_limit_counts_each_customer_separately() -> None:
    async with alone(gateway_rate_per_customer=5) as client:
        assert await statuses(client, 7, bearer("organization_acme")) == [201] * 5 + [429] * 2
        assert await statuses(client, 1, bearer("organization_other")) == [201]
        refused = await client.post(TIERS, headers=bearer("organization_acme"))
    assert refused.json()["code"] == "too_many_requests"
    assert 1 <= int(refused.headers["retry-after"]) <= 60


async def test_an_address_has_so_many_whoever_it_says_it_is() -> None:
    async with alone(gateway_rate_per_address=5) as client:
        nobody = [(await client.post(TIERS)).status_code for _ in range(5)]
        assert nobody == [401] * 5
        assert await statuses(client, 1, bearer("organization_acme")) == [429]
        spoofed = {**bearer("organization_acme"), "X-Forwarded-For": "203.0.113.9"}
        assert await statuses(client, 1, spoofed) == [429]


async def test_behind_a_proxy_the_address_is_what_the_proxy_says() -> None:
    async with alone(gateway_rate_per_address=1, gateway_trusted_proxies=1) as client:
        one = {**bearer("organization_acme"), "X-Forwarded-For": "198.51.100.1, 203.0.113.9"}
        other = {**bearer("organization_acme"), "X-Forwarded-For": "203.0.113.9, 198.51.100.1"}
        assert await statuses(client, 2, one) == [201, 429]
        assert await statuses(client, 1, other) == [201]


async def test_a_body_over_the_limit_is_refused_said_or_not() -> None:
    async with alone() as client:
        whole = await client.post(CANCEL, headers=bearer("organization_acme"), content=b"x" * 524_289)
        assert (whole.status_code, whole.json()["code"]) == (413, "payload_too_large")

        async def piece_by_piece() -> AsyncIterator[bytes]:
            for _ in range(600):
                yield b"x" * 1_024

        streamed = await client.post(CANCEL, headers=bearer("organization_acme"), content=piece_by_piece())
        assert streamed.status_code == 413


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{", "application/json"),
        (b"[" * 100_000, "application/json"),
        (b'{"at": "now"}', "text/plain"),
        (b'{"at": "now", "typo": 1}', "application/json"),
        (b'{"at": "later"}', "application/json"),
        (b'{"reason": "\\u0000"}', "application/json"),
        (b'{"reason": "\\ud800"}', "application/json"),
        (b'{"\\ud800": 1}', "application/json"),
        (b'{"subscription_id": "../sub_1"}', "application/json"),
        (b'{"reason": ' + b"9" * 5_000 + b"}", "application/json"),
        (b"\xff\xfe", "application/json"),
        (b'"text"', "application/json"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_a_body_that_is_none_is_a_400_that_says_so(body: bytes, kind: str) -> None:
    headers = {**bearer("organization_acme"), "Content-Type": kind}
    async with alone() as client:
        answer = await client.post(CANCEL, headers=headers, content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_message"), answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("key", ["x" * 129, "with space", "é", ""])
async def test_an_idempotency_key_that_cannot_be_one(key: str) -> None:
    headers: Any = {**bearer("organization_acme"), "Idempotency-Key": key.encode()}
    async with alone() as client:
        answer = await client.post(CANCEL, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_message")


async def test_while_the_services_are_away_the_answer_is_503_and_soon() -> None:
    async with alone() as client:
        async with asyncio.timeout(15):
            answer = await client.get("/api/v1/billing/tiers", headers=bearer("organization_acme"))
        feed = await client.get("/api/v1/admin/feed", headers=bearer("organization_acme", ADMIN))
        ready = await client.get("/ready")
        live = await client.get("/live")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert (feed.status_code, ready.status_code, live.status_code) == (503, 503, 200)


async def test_every_answer_tells_browsers_to_be_careful() -> None:
    async with alone() as client:
        for path, status in (("/live", 200), ("/nowhere", 404), ("/api/v1/billing/tiers", 401)):
            answer = await client.get(path)
            assert answer.status_code == status
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy and "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["strict-transport-security"].startswith("max-age=")
            assert "server" not in answer.headers


async def test_other_origins_may_not_call_unless_they_are_named() -> None:
    asking = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET"}
    async with alone() as client:
        answer = await client.options("/api/v1/billing/tiers", headers=asking)
        assert "access-control-allow-origin" not in answer.headers
    async with alone(gateway_cors_origins="https://app.example") as client:
        answer = await client.options("/api/v1/billing/tiers", headers=asking)
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        assert "access-control-allow-credentials" not in answer.headers
        other = await client.options(
            "/api/v1/billing/tiers", headers={**asking, "Origin": "https://evil.example"}
        )
        assert "access-control-allow-origin" not in other.headers
