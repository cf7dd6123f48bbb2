"""Builds the commands that routes and page forms send on behalf of a caller."""

from typing import Any, TypeVar

from pydantic import BaseModel

from services.gateway.auth.principal import Caller
from services.gateway.schemas import set_fields
from tallystick.messages.base import Command

CommandType = TypeVar("CommandType", bound=Command[Any])


def command_for(
    message_class: type[CommandType],
    caller: Caller,
    command_id: str,
    body: BaseModel | None = None,
    **fields: Any,
) -> CommandType:
    """Build a command from the caller, the request's command id, its body and further fields.

    `customer` and `acting_as` are taken from the caller if the command has such a field. The body's fields
    replace them (an operator's body may name another customer), and `fields` replace both. Raises
    pydantic's ValidationError, which is answered as `invalid_message`.
    """
    defaults = {"customer": caller.customer, "acting_as": caller.person}
    values: dict[str, Any] = {
        name: value for name, value in defaults.items() if name in message_class.model_fields
    }
    if body is not None:
        values |= set_fields(body)
    values |= fields
    values |= {"command_id": command_id, "requested_by": caller.person.token}
    return message_class.model_validate(values)
