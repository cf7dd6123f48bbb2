"""Builds the OpenAPI document from the routes and adds problems, security schemes and examples."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from services.gateway.openapi.examples import example_of
from services.gateway.problem_details import Problem
from tallystick.messages.base import INT64_MAX

PATH = "/api/v1/openapi.json"
VERSION = "1"
DESCRIPTION = """\
The plans, teams and units of the calling customer, and routes for operators. Requests are carried out by the
services behind NATS; a rejection has the code that the service returned.

A change may have an `Idempotency-Key`: repeating the request with the same key has the same outcome and no
second effect. After a timeout or a 503, repeat the request with the same key.
"""
SESSION_SCHEME = {
    "type": "apiKey",
    "in": "cookie",
    "name": "tallystick",
    "description": "A page's session (`__Host-tallystick` over https); changes also need `X-CSRF-Token`.",
}
PARAMETERS = {
    "language": "Language of the mail.",
    "account": "Absent: the customer's own account.",
    "action": "What to do with the subscription.",
    "at": "When the add-on ends.",
    "by": "The length of each interval.",
    "currency": "Only in this currency.",
    "customer": "Only of this customer, such as `organization_acme`.",
    "event_id": "The event's id in Stripe.",
    "feature": "The feature's code.",
    "grant_id": "The grant's id.",
    "group_by": "Also group by who used the units.",
    "handler": "Only messages that failed in this handler.",
    "id": "The add-on's id.",
    "instance_id": "The machine's id.",
    "license_id": "The license's id.",
    "kind": "Only those of this kind.",
    "invoice_id": "The invoice's id.",
    "limit": "The maximum number of items.",
    "payment_link_id": "The link's id.",
    "proration": "How a change that is made now is charged.",
    "quantity": "The number of seats to preview.",
    "reason": "Kept in the audit trail.",
    "search": "Part of an id, email, name or Stripe id; case is ignored.",
    "seat_id": "The seat's id.",
    "service": "Only messages that failed in this service.",
    "status": "Only items with this status.",
    "subscription_id": "The subscription's id.",
    "token": "The last part of the link in the invitation.",
    "when": "Absent: an increase now, a decrease at the end of the period.",
}
"""Descriptions of parameters that have none where they are declared."""
SCHEMA_PREFIX = "#/components/schemas/"


def install(application: FastAPI) -> None:
    """Replace FastAPI's document with the one of this module, built once when it is first requested."""

    def openapi() -> dict[str, Any]:
        if application.openapi_schema is None:
            application.openapi_schema = build_document(application)
        return application.openapi_schema

    application.openapi = openapi  # type: ignore[method-assign]


def build_document(application: FastAPI) -> dict[str, Any]:
    """Build the OpenAPI document of an application's routes."""
    document = _schemas_named_by_title(
        get_openapi(
            title=application.title,
            version=application.version,
            description=DESCRIPTION,
            routes=application.routes,
            license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        )
    )
    components = document.setdefault("components", {})
    schemas = components["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = Problem.model_json_schema(ref_template=SCHEMA_PREFIX + "{model}")
    schemas |= schemas["Problem"].pop("$defs")
    components.setdefault("securitySchemes", {})["session"] = SESSION_SCHEME
    for operations in document["paths"].values():
        for operation in operations.values():
            _complete(operation, schemas)
    complete: dict[str, Any] = _with_whole_numbers(document)
    return complete


def _schemas_named_by_title(document: dict[str, Any]) -> dict[str, Any]:
    """Publish each model under its title, so that a class can be renamed without changing the document."""
    schemas = document["components"]["schemas"]
    titles = {name: schema.get("title", name) for name, schema in schemas.items()}
    titled = {titles[name]: schema for name, schema in schemas.items()}
    if len(titled) != len(schemas):
        raise ValueError("two models of the API have the same title")
    document["components"]["schemas"] = dict(sorted(titled.items()))
    renamed: dict[str, Any] = _with_renamed_refs(document, titles)
    return renamed


def _with_renamed_refs(value: Any, names: dict[str, str]) -> Any:
    match value:
        case {"$ref": str(ref)} if ref.startswith(SCHEMA_PREFIX):
            name = ref.removeprefix(SCHEMA_PREFIX)
            return {**value, "$ref": SCHEMA_PREFIX + names.get(name, name)}
        case dict():
            return {key: _with_renamed_refs(inner, names) for key, inner in value.items()}
        case list():
            return [_with_renamed_refs(inner, names) for inner in value]
    return value


def _complete(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Add descriptions, security and examples; drop FastAPI's 422, which is answered with 400."""
    operation["responses"].pop("422", None)
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


def _with_whole_numbers(value: Any) -> Any:
    """Turn bounds back into integers, which FastAPI has turned into floats."""
    match value:
        case dict():
            return {name: _with_whole_numbers(inner) for name, inner in value.items()}
        case list():
            return [_with_whole_numbers(inner) for inner in value]
        case float() if value.is_integer():
            return min(int(value), INT64_MAX) if value >= 0 else max(int(value), -INT64_MAX)
    return value
