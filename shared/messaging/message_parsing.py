"""Bodies to messages and back: strict at the edge, and a clear error for each wrong field."""

import hashlib
import json
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError

from shared.errors import Rejected
from shared.runtime.tuning import PAYLOAD_MAX_BYTES
from tallystick.messages.base import Command, CommandId

Model = TypeVar("Model", bound=BaseModel)

SHOWN_PROBLEMS_MAX = 50
"""Fields named in one `invalid_message`; a body with more wrong has a bug that the first ones show."""
COMMAND_ID: TypeAdapter[str] = TypeAdapter(CommandId)
NOT_CONTENT = {"command_id", "requested_by"}
"""Fields that do not make a command another command."""


def parse(model: type[Model], body: bytes) -> Model:
    """The message in `body`; raises Rejected `invalid_message` naming each wrong field."""
    if len(body) > PAYLOAD_MAX_BYTES:
        raise invalid_message([{"field": "", "problem": f"larger than {PAYLOAD_MAX_BYTES} bytes"}])
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        problems: list[JsonValue] = [
            {"field": ".".join(str(part) for part in problem["loc"]), "problem": problem["msg"]}
            for problem in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        raise invalid_message(problems[:SHOWN_PROBLEMS_MAX]) from None


def invalid_message(problems: list[JsonValue]) -> Rejected:
    """The rejection of a body that is not what its subject asks for."""
    return Rejected(
        "invalid_message", "The message has missing, wrong or unknown fields.", {"fields": problems}
    )


def command_id_of(body: bytes) -> str | None:
    """The command id in a body that may be anything at all, so that even a refusal can name it."""
    try:
        return COMMAND_ID.validate_python(json.loads(body)["command_id"], strict=True)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def fingerprint(command: Command[Any]) -> bytes:
    """32 bytes that are equal only for the same command with the same content."""
    content = {"name": command.name, "fields": command.model_dump(exclude=NOT_CONTENT)}
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).digest()
