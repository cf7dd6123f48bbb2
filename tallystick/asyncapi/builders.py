"""Builders for the parts of an AsyncAPI document: messages, channels, operations and outcomes."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from tallystick.messages import COMMANDS
from tallystick.messages.base import COMMON_REJECTIONS, Request

Json = dict[str, Any]

SCHEMA_REFERENCE = "#/components/schemas/{model}"
QUESTION_REJECTIONS = ("invalid_message", "not_found")
"""Codes that any question may be rejected with."""
TRACE = {"type": "string", "description": "W3C trace context, if the sender is traced."}


def message(name: str, schema: str, summary: str, headers: Json | None = None) -> Json:
    """Return a message whose payload refers to a schema by name."""
    message: Json = {
        "name": name,
        "title": name,
        "summary": summary,
        "contentType": "application/json",
        "payload": {"$ref": SCHEMA_REFERENCE.format(model=schema)},
    }
    if headers:
        message["headers"] = {"type": "object", "properties": headers}
    return message


def first_line(model: type[BaseModel]) -> str:
    """Return the first line of a message's docstring."""
    return (model.__doc__ or "").strip().splitlines()[0]


def channel(parts: Json, name: str, address: str | None, messages: Iterable[str], **extra: Any) -> None:
    """Add a channel for the given messages."""
    refs = {message: {"$ref": f"#/components/messages/{message}"} for message in messages}
    parts["channels"][name] = {"address": address, "messages": refs, **extra}


def operation(parts: Json, name: str, action: str, channel: str, summary: str, **extra: Any) -> None:
    """Add an operation of the services on a channel; `action` is `receive` or `send`."""
    channel_ref = {"$ref": f"#/channels/{channel}"}
    parts["operations"][name] = {"action": action, "channel": channel_ref, "summary": summary, **extra}


def outcome_name(model: type[Request[Any]]) -> str:
    """Return the schema name of a message's outcome."""
    return f"{model.__name__}Outcome"


def outcome(model: type[Request[Any]]) -> Json:
    """Return the schema of a message's outcome, with the error codes it may contain."""
    is_command = model.registry is COMMANDS
    common = COMMON_REJECTIONS if is_command else QUESTION_REJECTIONS
    codes = sorted({*common, *model.rejections})
    identity: Json = {"command_id": {"type": "string"}} if is_command else {}
    error: Json = {
        "type": "object",
        "required": ["code"],
        "properties": {
            "code": {"enum": codes},
            "message": {"type": "string", "description": "Explanation for people."},
            "details": {"description": "Structured details; their form depends on the code."},
        },
    }
    failure = {**error, "properties": {**error["properties"], "code": {"const": "unavailable"}}}
    return {
        "description": f"Outcome of `{model.service}.{model.name}`.",
        "oneOf": [
            _variant(
                "succeeded",
                identity,
                "result",
                {"$ref": SCHEMA_REFERENCE.format(model=model.result.__name__)},
            ),
            _variant("rejected", identity, "error", error),
            _variant("failed", identity, "error", failure),
        ],
    }


def _variant(status: str, identity: Json, part: str, schema: Json) -> Json:
    return {
        "type": "object",
        "required": ["status", part],
        "properties": {**identity, "status": {"const": status}, part: schema},
    }
