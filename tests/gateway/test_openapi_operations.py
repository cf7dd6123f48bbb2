"""The OpenAPI document describes the input, output and errors of each operation."""

from collections.abc import Iterator
from typing import Any

import pytest

from services.gateway.application import routed
from services.gateway.problem_details import MEDIA_TYPE

DOCUMENT = routed().openapi()
OPERATIONS: list[tuple[str, dict[str, Any]]] = [
    (f"{method.upper()} {path}", operation)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
]
BILLING = "/api/v1/billing"
PROMISED = [
    *(
        f"GET {BILLING}/{name}"
        for name in ("subscription", "tiers", "invoices", "upcoming-invoice", "addons")
    ),
    *(f"GET {BILLING}/{name}" for name in ("my-addons", "entitlements", "usage", "balances")),
    *(f"POST {BILLING}/{name}" for name in ("checkout", "portal", "preview-change", "change-tier")),
    *(f"POST {BILLING}/{name}" for name in ("addons/purchase", "cancel", "reactivate", "consume")),
    f"DELETE {BILLING}/addons/{{id}}",
    f"GET {BILLING}/auto-recharge",
    f"PUT {BILLING}/auto-recharge",
    f"GET {BILLING}/team",
    f"GET {BILLING}/team/seats",
    f"POST {BILLING}/team/seats",
    f"POST {BILLING}/team/seats/{{seat_id}}/resend",
    f"DELETE {BILLING}/team/seats/{{seat_id}}",
    f"POST {BILLING}/team/seats/{{seat_id}}/replace",
    f"PUT {BILLING}/team/seats/{{seat_id}}/multiplier",
    f"PUT {BILLING}/team/seats/count",
    f"GET {BILLING}/team/seats/preview",
    f"GET {BILLING}/team/seats/payments",
    "POST /api/v1/seats/claim",
    "GET /api/v1/seats/invitations/{token}",
    "GET /api/v1/admin/customers",
    "GET /api/v1/admin/subscriptions",
    "GET /api/v1/admin/events",
    "POST /api/v1/admin/events/replay",
    "GET /api/v1/admin/dead-letters",
    "POST /api/v1/admin/dead-letters/{number}/retry",
    "GET /api/v1/admin/catalog",
    "PUT /api/v1/admin/catalog",
    "POST /api/v1/admin/overrides",
    "POST /api/v1/admin/grants",
    "GET /api/v1/admin/feed",
]
"""The published routes, which are never renamed."""


def test_every_promised_route_is_there() -> None:
    assert set(PROMISED) - {name for name, _ in OPERATIONS} == set()


@pytest.mark.parametrize(("name", "operation"), OPERATIONS, ids=[name for name, _ in OPERATIONS])
def test_an_operation_is_described_to_the_end(name: str, operation: dict[str, Any]) -> None:
    assert operation["summary"] and operation["description"]
    for parameter in operation.get("parameters", []):
        assert parameter["description"], parameter["name"]
    for where, content in _contents(operation):
        assert "example" in content or content.get("examples"), where
    statuses = operation["responses"].keys()
    needed = {"400", "429", "503"} | ({"401", "403"} if "security" in operation else set())
    if not name.startswith(("GET", "DELETE")):
        needed.add("413")
    assert needed - statuses == set()
    assert any(status.startswith("2") for status in statuses)


@pytest.mark.parametrize(("name", "operation"), OPERATIONS, ids=[name for name, _ in OPERATIONS])
def test_whatever_goes_wrong_is_a_problem_with_a_code(name: str, operation: dict[str, Any]) -> None:
    for status, answer in operation["responses"].items():
        if status.startswith("2"):
            continue
        content = answer["content"]
        assert list(content) == [MEDIA_TYPE], (name, status)
        assert content[MEDIA_TYPE]["schema"] == {"$ref": "#/components/schemas/Problem"}
        for code, example in content[MEDIA_TYPE]["examples"].items():
            assert (example["value"]["code"], example["value"]["status"]) == (code, int(status))


def _contents(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for status, answer in operation["responses"].items():
        for media_type, content in answer.get("content", {}).items():
            yield f"{status} {media_type}", content
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"body {media_type}", content
