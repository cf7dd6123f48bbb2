"""The OpenAPI document matches the code, is complete, and has valid examples."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from services.gateway.application import make_api
from services.gateway.openapi import DOCUMENT
from services.gateway.problem_details import MEDIA_TYPE

DOC: dict[str, Any] = json.loads(DOCUMENT.read_text())
BILLING, ADMIN = "/api/v1/billing", "/api/v1/admin"
PROMISED = {
    ("get", f"{BILLING}/notifications"),
    ("get", f"{BILLING}/notifications/preferences"),
    ("put", f"{BILLING}/notifications/preferences"),
    ("get", f"{BILLING}/webhook-endpoints"),
    ("post", f"{BILLING}/webhook-endpoints"),
    ("patch", f"{BILLING}/webhook-endpoints/{{endpoint_id}}"),
    ("delete", f"{BILLING}/webhook-endpoints/{{endpoint_id}}"),
    ("post", f"{BILLING}/webhook-endpoints/{{endpoint_id}}/rotate-secret"),
    ("post", f"{BILLING}/webhook-endpoints/{{endpoint_id}}/test"),
    ("post", f"{BILLING}/webhook-endpoints/{{endpoint_id}}/redeliver"),
    ("get", f"{BILLING}/webhook-endpoints/{{endpoint_id}}/deliveries"),
    ("get", "/api/v1/benefits"),
    ("get", "/api/v1/benefits/{feature}"),
    ("get", f"{BILLING}/subscription"),
    ("get", f"{BILLING}/tiers"),
    ("post", f"{BILLING}/checkout"),
    ("post", f"{BILLING}/portal"),
    ("get", f"{BILLING}/invoices"),
    ("get", f"{BILLING}/upcoming-invoice"),
    ("post", f"{BILLING}/preview-change"),
    ("post", f"{BILLING}/change-tier"),
    ("get", f"{BILLING}/addons"),
    ("get", f"{BILLING}/my-addons"),
    ("post", f"{BILLING}/addons/purchase"),
    ("delete", f"{BILLING}/addons/{{id}}"),
    ("post", f"{BILLING}/cancel"),
    ("post", f"{BILLING}/reactivate"),
    ("get", f"{BILLING}/entitlements"),
    ("get", f"{BILLING}/usage"),
    ("get", f"{BILLING}/balances"),
    ("post", f"{BILLING}/consume"),
    ("get", f"{BILLING}/auto-recharge"),
    ("put", f"{BILLING}/auto-recharge"),
    ("get", f"{BILLING}/usage-alerts"),
    ("put", f"{BILLING}/usage-alerts"),
    ("get", f"{BILLING}/team"),
    ("get", f"{BILLING}/team/seats"),
    ("post", f"{BILLING}/team/seats"),
    ("put", f"{BILLING}/team/seats/count"),
    ("get", f"{BILLING}/team/seats/preview"),
    ("get", f"{BILLING}/team/seats/payments"),
    ("post", f"{BILLING}/team/seats/{{seat_id}}/resend"),
    ("post", f"{BILLING}/team/seats/{{seat_id}}/replace"),
    ("put", f"{BILLING}/team/seats/{{seat_id}}/multiplier"),
    ("delete", f"{BILLING}/team/seats/{{seat_id}}"),
    ("post", "/api/v1/licenses/activate"),
    ("post", "/api/v1/licenses/deactivate"),
    ("post", "/api/v1/licenses/refresh"),
    ("post", "/api/v1/licenses/validate"),
    ("get", "/.well-known/tallystick-licenses.json"),
    ("get", f"{BILLING}/licenses"),
    ("get", f"{BILLING}/licenses/{{license_id}}"),
    ("post", f"{BILLING}/licenses/{{license_id}}/key"),
    ("post", f"{BILLING}/licenses/{{license_id}}/rotate-key"),
    ("put", f"{BILLING}/licenses/{{license_id}}/seats"),
    ("post", f"{BILLING}/licenses/{{license_id}}/activations"),
    ("delete", f"{BILLING}/licenses/{{license_id}}/activations/{{instance_id}}"),
    ("get", f"{ADMIN}/licenses"),
    ("post", f"{ADMIN}/licenses"),
    ("post", f"{ADMIN}/licenses/{{license_id}}/suspend"),
    ("post", f"{ADMIN}/licenses/{{license_id}}/restore"),
    ("post", f"{ADMIN}/licenses/{{license_id}}/revoke"),
    ("get", f"{BILLING}/payouts"),
    ("post", f"{BILLING}/payouts"),
    ("get", f"{BILLING}/payouts/account"),
    ("post", f"{BILLING}/payouts/account"),
    ("post", f"{BILLING}/payouts/onboarding"),
    ("post", f"{BILLING}/payouts/dashboard"),
    ("put", f"{BILLING}/payouts/schedule"),
    ("get", f"{BILLING}/payouts/balance"),
    ("get", f"{BILLING}/payouts/entries"),
    ("get", f"{ADMIN}/payouts"),
    ("post", f"{ADMIN}/payouts/adjustments"),
    ("put", f"{ADMIN}/payouts/schedule"),
    ("get", f"{ADMIN}/payouts/sellers/{{customer}}/balance"),
    ("post", "/api/v1/seats/claim"),
    ("get", "/api/v1/seats/invitations/{token}"),
    ("get", f"{ADMIN}/customers"),
    ("get", f"{ADMIN}/subscriptions"),
    ("get", f"{ADMIN}/events"),
    ("post", f"{ADMIN}/events/replay"),
    ("post", f"{ADMIN}/events/{{event_id}}/replay"),
    ("get", f"{ADMIN}/dead-letters"),
    ("post", f"{ADMIN}/dead-letters/{{number}}/retry"),
    ("get", f"{ADMIN}/catalog"),
    ("put", f"{ADMIN}/catalog"),
    ("post", f"{ADMIN}/overrides"),
    ("post", f"{ADMIN}/invoices/{{invoice_id}}/refund"),
    ("get", f"{ADMIN}/refunds"),
    ("get", f"{ADMIN}/payment-links"),
    ("post", f"{ADMIN}/payment-links"),
    ("get", f"{ADMIN}/payment-links/{{payment_link_id}}/uses"),
    ("post", f"{ADMIN}/payment-links/{{payment_link_id}}/deactivate"),
    ("get", f"{ADMIN}/disputes"),
    ("post", f"{ADMIN}/grants"),
    ("get", f"{ADMIN}/feed"),
    *(("get", f"{ADMIN}/platform-health/{name}") for name in ("health", "capacity", "subscription-capacity")),
    *(("get", f"{ADMIN}/platform-health/{name}") for name in ("trends", "recommendations")),
    ("post", f"{ADMIN}/platform-health/snapshot"),
    ("get", f"{ADMIN}/revenue"),
    ("get", f"{BILLING}/spending"),
}
"""Routes that front ends were promised; there may be more."""


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every method, path and operation."""
    for path, found in DOC["paths"].items():
        for method, operation in found.items():
            yield method, path, operation


OPERATIONS = [pytest.param(*one, id=f"{one[0]} {one[1]}") for one in operations()]


def check(value: Any, schema: dict[str, Any]) -> None:
    """Validate a value against a schema of the document."""
    root = {**schema, "components": DOC["components"]}
    jsonschema.Draft202012Validator(root).validate(value)


def test_the_document_is_what_the_code_says() -> None:
    assert make_api().openapi() == DOC, "bring it up to date: python -m services.gateway.openapi"


def test_every_promised_route_is_there() -> None:
    assert {(method, path) for method, path, _ in operations()} >= PROMISED


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS)
def test_an_operation_is_described_with_its_problems(
    method: str, path: str, operation: dict[str, Any]
) -> None:
    assert operation["summary"] and operation["description"] and operation["tags"]
    for parameter in operation.get("parameters", []):
        assert parameter["description"], parameter["name"]
    statuses = set(operation["responses"])
    assert {"400", "429", "503"} <= statuses
    assert any(status.startswith(("2", "3")) for status in statuses)
    assert method in ("get", "delete") or "413" in statuses
    assert "422" not in statuses
    if operation.get("security"):
        assert {"401", "403"} <= statuses
        assert operation["security"] == [{"bearer": []}, {"session": []}]
    if "{" in path and method == "get":
        # A benefit that does not exist is refused like one of somebody else.
        assert "404" in statuses or "customer" in path or path.startswith("/api/v1/benefits")
    for status, response in operation["responses"].items():
        if not status.startswith(("2", "3")):
            assert list(response["content"]) == [MEDIA_TYPE], status
            problems = response["content"][MEDIA_TYPE]
            assert problems["schema"] == {"$ref": "#/components/schemas/Problem"}
            for code, example in problems["examples"].items():
                check(example["value"], problems["schema"])
                assert (example["value"]["code"], example["value"]["status"]) == (code, int(status))


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS)
def test_bodies_and_results_have_examples_that_fit(method: str, path: str, operation: dict[str, Any]) -> None:
    parts = [operation["requestBody"]] if "requestBody" in operation else []
    parts += [response for status, response in operation["responses"].items() if int(status) < 400]
    assert parts, "an operation answers something"
    for part in parts:
        for kind, content in part.get("content", {}).items():  # a redirect has none
            assert "example" in content or "examples" in content, (path, kind)
            if kind == "application/json":
                check(content["example"], content["schema"])


def test_changes_take_an_idempotency_key() -> None:
    without = {
        path
        for method, path, operation in operations()
        if method != "get"
        and not any(found["name"] == "idempotency-key" for found in operation.get("parameters", []))
    }
    assert without == {
        f"{BILLING}/preview-change",
        f"{BILLING}/page-link",
        "/api/v1/licenses/validate",
    }
