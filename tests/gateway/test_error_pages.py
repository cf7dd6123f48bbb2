"""Error pages for browsers and problem details for programs."""

import httpx
import pytest

from tests.support.standalone_gateway import alone

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Accept-Language": "de"}
PROGRAM = {"Accept": "application/json"}


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/nowhere", 404, "Das finden wir nicht."),
        ("GET", "/billing/reactivate", 405, "Bitte gehen Sie zurück zur Abrechnung."),
        ("POST", "/billing/plans", 405, "Bitte gehen Sie zurück zur Abrechnung."),
        ("GET", "/session?token=expired", 401, "Dieser Link gilt nicht mehr"),
        ("GET", "/billing", 401, "Sie sind abgemeldet"),
    ],
)
async def test_a_browser_is_told_in_its_language(method: str, path: str, status: int, words: str) -> None:
    async with alone() as client:
        answer = await client.request(method, path, headers=BROWSER)
    assert answer.status_code == status
    assert words in answer.text
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.parametrize("path", ["/nowhere", "/api/v1/nowhere"])
async def test_a_program_is_told_as_json(path: str) -> None:
    async with alone() as client:
        answer = await client.get(path, headers=PROGRAM)
        browsed = await client.get("/api/v1/nowhere", headers=BROWSER)
    for told in (answer, browsed):
        assert (told.status_code, told.json()["code"]) == (404, "not_found")
        assert told.headers["content-type"] == "application/problem+json"


async def test_too_many_and_too_much_are_told_on_a_page_as_well() -> None:
    async with alone(gateway_rate_per_address=2) as client:
        answers = [await client.get("/billing", headers=BROWSER) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [401, 401, 429]
    assert "Bitte warten Sie eine Minute." in answers[-1].text
    assert int(answers[-1].headers["retry-after"]) >= 1
    async with alone() as client:
        answer = await client.post("/billing/cancel", headers=BROWSER, content=b"x" * 600_000)
    assert answer.status_code == 413
    assert "Das war zu viel auf einmal." in answer.text


@pytest.mark.parametrize(
    ("sign_in_url", "expected"),
    [
        (
            "https://app.example/in",
            "https://app.example/in?return_to=https%3A%2F%2Fbilling.example%2Fbilling%2Fplans",
        ),
        (
            "https://app.example/in?a=b",
            "https://app.example/in?a=b&amp;return_to=https%3A%2F%2Fbilling.example%2Fbilling%2Fplans",
        ),
    ],
)
async def test_whoever_signs_in_comes_back_to_the_page(sign_in_url: str, expected: str) -> None:
    async with alone(gateway_sign_in_url=sign_in_url) as client:
        answer = await client.get("/billing/plans", headers=BROWSER)
    assert f'href="{expected}"' in answer.text


async def test_a_link_that_is_over_is_not_put_into_the_page() -> None:
    async with alone() as client:
        answer: httpx.Response = await client.get("/session?token=secret-of-somebody", headers=BROWSER)
    assert "secret-of-somebody" not in answer.text
