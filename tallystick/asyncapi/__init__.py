"""AsyncAPI 3.0 document of the product, generated from the message types.

It is written from the perspective of the billing services: `receive` is what they receive and `send` is what
they send.
"""

import json
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from tallystick.asyncapi.builders import SCHEMA_REFERENCE, Json, outcome, outcome_name
from tallystick.asyncapi.external_channels import add_dead_letters, add_stripe, add_ticks
from tallystick.asyncapi.messages import (
    add_entitlements,
    add_event,
    add_queued,
    add_request,
    cloud_event,
)
from tallystick.messages import COMMANDS, EVENTS, QUESTIONS
from tallystick.messages.base import Outcome, Request
from tallystick.messages.subscriptions import BucketEntry
from tallystick.subjects import DEFAULT_PREFIX, Subjects


def rendered(prefix: str = DEFAULT_PREFIX) -> str:
    """Return the document as JSON text, as it is stored in `docs/asyncapi.json`."""
    return json.dumps(document(prefix), indent=2, ensure_ascii=False) + "\n"


def document(prefix: str = DEFAULT_PREFIX) -> Json:
    """Return the whole document."""
    subjects = Subjects(prefix)
    requests: list[type[Request[Any]]] = [model for _, model in sorted(COMMANDS.items())]
    requests += [model for _, model in sorted(QUESTIONS.items())]
    events = [model for _, model in sorted(EVENTS.items())]
    parts: Json = {"channels": {}, "operations": {}, "messages": {}}
    for model in requests:
        add_request(parts, subjects, model)
    for model in requests:
        if model.registry is COMMANDS:
            add_queued(parts, subjects, model)
    for event in events:
        add_event(parts, subjects, event)
    add_entitlements(parts)
    add_stripe(parts, subjects)
    add_ticks(parts, subjects)
    add_dead_letters(parts, subjects)
    return {
        "asyncapi": "3.0.0",
        "info": _info(),
        "defaultContentType": "application/json",
        "servers": {
            "nats": {"host": "localhost:4222", "protocol": "nats", "description": "NATS with JetStream."}
        },
        "channels": parts["channels"],
        "operations": parts["operations"],
        "components": {
            "schemas": _schemas([*requests, *events]),
            "messages": parts["messages"],
            "messageTraits": {"cloudEvent": cloud_event()},
        },
    }


def _info() -> Json:
    try:
        number = version("tallystick")
    except PackageNotFoundError:
        number = "0.1.0"
    return {
        "title": "Tallystick",
        "version": number,
        "description": (
            "Billing over NATS: commands and questions as requests, commands through a work queue, and a "
            "change feed. Adding an optional field keeps a message's version; any other change is a new "
            "version beside the old one. Consumers ignore fields they do not know."
        ),
        "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
    }


def _schemas(models: Iterable[type[BaseModel]]) -> Json:
    schema_inputs: list[tuple[type[BaseModel], Any]] = []
    for model in models:
        schema_inputs.append((model, "validation"))
        if issubclass(model, Request):
            schema_inputs.append((model.result, "validation"))
    schema_inputs += [(Outcome, "validation"), (BucketEntry, "validation")]
    _, definitions = models_json_schema(list(dict.fromkeys(schema_inputs)), ref_template=SCHEMA_REFERENCE)
    schemas: Json = definitions["$defs"]
    for model in models:
        if issubclass(model, Request):
            schemas[outcome_name(model)] = outcome(model)
    return dict(sorted(schemas.items()))
