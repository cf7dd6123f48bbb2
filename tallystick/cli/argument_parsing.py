"""Parsing of command line arguments into a message.

Invalid fields are reported before anything is sent.
"""

import contextlib
import difflib
import json
import sys
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from rich.markup import escape

from tallystick.cli.output import WrongUsage, errors, print_table
from tallystick.messages import COMMANDS, QUESTIONS
from tallystick.messages.base import Command, Customer, Request

Message = TypeVar("Message", bound=Request[Any])
GIVEN_MAX_CHARACTERS = 40
"""Longer values are cut in error tables."""


def find_message(
    target: str, words: Sequence[str], *, commands_only: bool
) -> tuple[type[Request[Any]], list[str]]:
    """Return the message type named `service.name` or `service name`, and the remaining arguments."""
    known: dict[tuple[str, str], type[Request[Any]]] = {**COMMANDS, **({} if commands_only else QUESTIONS)}
    service, dot, name = target.partition(".")
    rest = list(words)
    if not dot and rest and "=" not in rest[0] and rest[0][0] not in "{@":
        name = rest.pop(0)
    if (service, name) in known:
        return known[service, name], rest
    if commands_only and (service, name) in QUESTIONS:
        raise WrongUsage(f"{service}.{name} is a question; questions cannot be queued, use `request`.")
    names = sorted(f"{service}.{name}" for service, name in known)
    close = difflib.get_close_matches(f"{service}.{name}", names, n=3, cutoff=0.5)
    suggestion = f" Did you mean {' or '.join(close)}?" if close else ""
    raise WrongUsage(
        f"There is no {escape(f'{service}.{name}')}.{suggestion} `messages` lists all there are."
    )


def build(model: type[Message], words: Sequence[str], command_id: str | None) -> Message:
    """Build the message from the arguments; print each invalid field and raise WrongUsage otherwise."""
    fields: dict[str, Any] = {}
    for word in words:
        fields |= _read_word(model, word)
    if issubclass(model, Command):
        if command_id:
            fields["command_id"] = command_id
        fields.setdefault("command_id", f"cli-{uuid.uuid4().hex}")
    try:
        return model.model_validate_json(json.dumps(fields))
    except ValidationError as error:
        show_problems(model, error)
        raise WrongUsage(
            f"Nothing was sent. `messages {model.service}.{model.name}` shows all fields."
        ) from None


def show_problems(model: type[BaseModel], error: ValidationError) -> None:
    """Print a table of the invalid fields."""
    rows = []
    for problem in error.errors(include_url=False):
        path = ".".join(str(part) for part in problem["loc"]) or "(the whole message)"
        given = "" if problem["type"] == "missing" else json.dumps(problem["input"], default=str)
        if len(given) > GIVEN_MAX_CHARACTERS:
            given = given[: GIVEN_MAX_CHARACTERS - 1] + "…"
        rows.append((path, given, _describe_problem(model, problem["type"], problem["msg"], path)))
    print_table("", ("field", "given", "problem"), rows, to=errors)


def _describe_problem(model: type[BaseModel], kind: str, message: str, path: str) -> str:
    names = [info.alias or name for name, info in model.model_fields.items()]
    if kind == "missing":
        described = next((info.description for name, info in _fields_by_alias(model) if name == path), None)
        return f"required{': ' + described if described else ''}"
    if kind == "extra_forbidden":
        close = difflib.get_close_matches(path, names, n=1)
        return f"no such field{f'; did you mean {close[0]}?' if close else ''}"
    if kind == "model_type" and any(
        name == path and info.annotation is Customer for name, info in _fields_by_alias(model)
    ):
        return "no customer; write user_7 or organization_acme"
    return message.removeprefix("Value error, ")


def _fields_by_alias(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    for name, info in model.model_fields.items():
        yield info.alias or name, info


def _read_word(model: type[BaseModel], word: str) -> dict[str, Any]:
    if word.startswith(("{", "@")):
        document = _read_file(word[1:]) if word.startswith("@") else _parse(word)
        if not isinstance(document, dict):
            raise WrongUsage(f"{escape(word)} is not a JSON object with fields.")
        return document
    name, equals, text = word.partition("=")
    if not equals or not name:
        raise WrongUsage(f"{escape(word)} is none of: field=value, a JSON object, or @FILE with one.")
    if text.startswith("@"):
        return {name: _read_file(text[1:])}
    return {name: _value(dict(_fields_by_alias(model)).get(name), text)}


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise WrongUsage(f"This is not JSON ({error}): {escape(text)}") from None


def _read_file(name: str) -> Any:
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise WrongUsage(f"{escape(name)} cannot be read: {error}") from None
    return read_yaml(text, name)


def read_yaml(text: str, name: str) -> Any:
    """Parse YAML or JSON, keeping timestamps as text as messages do; raises WrongUsage."""
    try:
        return yaml.load(text, Loader=_PlainLoader)  # noqa: S506 - a safe loader, with fewer types
    except yaml.YAMLError as error:
        raise WrongUsage(f"{escape(name)} is neither YAML nor JSON: {escape(str(error))}") from None


class _PlainLoader(yaml.SafeLoader):
    yaml_implicit_resolvers = {  # noqa: RUF012 - as the base class declares it
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _value(info: FieldInfo | None, text: str) -> Any:
    """Convert an argument to the field's type: JSON, customer token, comma-separated list or plain text."""
    candidates = list(_interpretations(text))
    if info is not None:
        annotation: Any = Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation
        adapter: TypeAdapter[Any] = TypeAdapter(annotation)
        for candidate in candidates:
            try:
                adapter.validate_json(json.dumps(candidate), strict=True)
            except ValidationError:
                continue
            return candidate
    return candidates[-1]


def _interpretations(text: str) -> Iterator[Any]:
    with contextlib.suppress(ValueError):
        yield json.loads(text)
    try:
        customer = Customer.from_token(text)
    except ValueError:
        pass
    else:
        yield {"type": customer.type, "id": customer.id}
    yield text.split(",")
    yield text
