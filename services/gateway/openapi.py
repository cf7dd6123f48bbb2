"""The OpenAPI document: generated from the routes, completed with problems, security and examples."""

import argparse
import json
import sys
from collections.abc import Iterable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from services.gateway.examples import example_of
from services.gateway.problem_details import MEDIA_TYPE, REFUSED, STATUS_OF_CODE, Problem, problem
from tallystick.messages.base import COMMON_REJECTIONS, INT64_MAX, Command, Request

PATH = "/api/v1/openapi.json"
VERSION = "1"
DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"
PROBLEM_REF = {"$ref": "#/components/schemas/Problem"}
DESCRIPTION = """\
Plans, teams and units of the calling customer, and an operators' side, over HTTP. What happens is done by the
services behind NATS; a refusal has the code they gave.

A change may carry an `Idempotency-Key`: the same key with the same request has the same outcome again, and no
second effect. Without an answer, or with 503, ask again with the same key.
"""
SESSION = {
    "type": "apiKey",
    "in": "cookie",
    "name": "tallystick",
    "description": "A page's session (`__Host-tallystick` over https); changes need `X-CSRF-Token` too.",
}
PUBLIC = ("invalid_message", "too_many_requests", "unavailable")
SIGNED_IN = (*PUBLIC, "unauthenticated", "insufficient_scope")
ON_STRIPE = ("not_billing_manager", "not_found", "payments_not_configured")
"""Of what a customer does on a page of Stripe's."""

POSTED = ("csrf_failed", "payload_too_large")
"""Of what is posted without being a command; of commands they are known."""
PARAMETERS = {
    "account": "Absent: the customer's own.",
    "action": "What becomes of it.",
    "at": "When it ends.",
    "by": "How long each span is.",
    "event_id": "Stripe's id of it.",
    "feature": "The feature's code.",
    "grant_id": "Which grant.",
    "group_by": "Apart by who used them, too.",
    "handler": "Only what this one gave up.",
    "id": "Which add-on.",
    "limit": "How many items at most.",
    "proration": "What a change at once costs.",
    "quantity": "How many seats there would be.",
    "reason": "Kept in the audit trail.",
    "search": "Part of an id, email, name or Stripe id, in capitals or not.",
    "seat_id": "Which seat.",
    "service": "Only what this one gave up.",
    "status": "Only those that have it.",
    "subscription_id": "Which subscription.",
    "token": "The last part of the link that was sent.",
    "when": "Absent: more at once, fewer when the period ends.",
}
"""What is told of a parameter whose route says nothing of it."""

Responses = dict[int | str, dict[str, Any]]


def refusals(*messages: type[Request[Any]], codes: Iterable[str] = (), signed_in: bool = True) -> Responses:
    """The problems of a route that sends these messages, by status, for its description."""
    found = {*(SIGNED_IN if signed_in else PUBLIC), *codes}
    for message in messages:
        found.update(message.rejections)
        if issubclass(message, Command):
            found |= {*COMMON_REJECTIONS, "payload_too_large"}
            found |= {"csrf_failed"} if signed_in else set()
    by_status: dict[int, list[str]] = {}
    for code in sorted(found):
        by_status.setdefault(STATUS_OF_CODE.get(code, REFUSED), []).append(code)
    return {status: _problems(status, codes) for status, codes in sorted(by_status.items())}


def _problems(status: int, codes: list[str]) -> dict[str, Any]:
    examples = {code: {"value": problem(code, "", {}, status)} for code in codes}
    phrase = HTTPStatus(status).phrase
    return {
        "description": f"{phrase}: {', '.join(f'`{code}`' for code in codes)}",
        "content": {MEDIA_TYPE: {"schema": PROBLEM_REF, "examples": examples}},
    }


def describe(application: FastAPI) -> None:
    """Have the application describe itself with `document`."""

    def described() -> dict[str, Any]:
        if application.openapi_schema is None:
            application.openapi_schema = document(application)
        return application.openapi_schema

    application.openapi = described  # type: ignore[method-assign]


def document(application: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of the routes."""
    made = get_openapi(
        title=application.title,
        version=application.version,
        description=DESCRIPTION,
        routes=application.routes,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    components = made.setdefault("components", {})
    schemas = components["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= schemas["Problem"].pop("$defs")
    components.setdefault("securitySchemes", {})["session"] = SESSION
    for operations in made["paths"].values():
        for operation in operations.values():
            _complete(operation, schemas)
    whole: dict[str, Any] = _whole_numbers(made)
    return whole


def _complete(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    operation["responses"].pop("422", None)  # answered with 400
    if operation.get("security"):
        operation["security"] = [{"bearer": []}, {"session": []}]
    for parameter in operation.get("parameters", []):
        if "description" not in parameter:
            parameter["description"] = PARAMETERS[parameter["name"]]
    bodies = [operation["requestBody"]] if "requestBody" in operation else []
    for part in (*bodies, *operation["responses"].values()):
        content = part.get("content", {}).get("application/json")
        if content and "example" not in content and "examples" not in content:
            content["example"] = example_of(content["schema"], schemas)


def _whole_numbers(value: Any) -> Any:
    """The same with bounds as the whole numbers they were: the framework turns them into floats."""
    match value:
        case dict():
            return {name: _whole_numbers(inner) for name, inner in value.items()}
        case list():
            return [_whole_numbers(inner) for inner in value]
        case float() if value.is_integer():
            return min(int(value), INT64_MAX) if value >= 0 else max(int(value), -INT64_MAX)
    return value


def main() -> None:
    """Write docs/openapi.json; with `--check` nothing is written, and a difference is an error."""
    from services.gateway.application import routed

    parser = argparse.ArgumentParser(prog="python -m services.gateway.openapi", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    text = json.dumps(routed().openapi(), indent=2, ensure_ascii=False) + "\n"
    if parser.parse_args().check:
        if not DOCUMENT.exists() or DOCUMENT.read_text() != text:
            sys.exit("docs/openapi.json is out of date: python -m services.gateway.openapi")
    else:
        DOCUMENT.write_text(text)


if __name__ == "__main__":
    main()
