"""Parsing message bodies: strict, with an error for each wrong field."""

import json
from typing import TypeVar

from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError

from shared.errors import invalid_message
from shared.tuning import PAYLOAD_MAX_BYTES
from tallystick.messages.base import CommandId

Model = TypeVar("Model", bound=BaseModel)

SHOWN_PROBLEMS_MAX = 50
"""How many wrong fields one `invalid_message` names at most."""
COMMAND_ID: TypeAdapter[str] = TypeAdapter(CommandId)


def parse(model: type[Model], body: bytes) -> Model:
    """Parse a body strictly; raises Rejected `invalid_message`, which names each wrong field."""
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


def command_id_of(body: bytes) -> str | None:
    """Extract the command id from a body that may be malformed; None if it has none."""
    try:
        return COMMAND_ID.validate_python(json.loads(body)["command_id"], strict=True)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
