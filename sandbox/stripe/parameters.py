"""Request parameters: decoding of Stripe's nested form encoding, and validation.

The parameters of a method are a dict of names: `{"email": text, "items": [{"price!": text}]}`. A leaf is a
function that reads one value, a dict is a hash, a one-element list is an array, and a name that ends in `!`
is required.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from sandbox.stripe.faults import StripeFault, invalid, missing_parameter, unknown_parameter

Leaf = Callable[[Any, str], Any]
Schema = Any
"""Leaf, dict of schemas, or list of one schema; a recursive type would be hard to read."""

MAX_DEPTH = 10
"""Stripe's own parameters have at most six levels."""
MAX_METADATA_KEYS = 50
MAX_TEXT = 5000
_BRACKETS = re.compile(r"\[([^\[\]]*)\]")


# -- decoding ---------------------------------------------------------------------------------------------


def decode(raw: bytes, content_type: str = "") -> dict[str, Any]:
    """Decode a form body, query string or JSON into nested dicts and lists of strings."""
    if content_type.startswith("application/json"):
        try:
            decoded = json.loads(raw or b"{}")
        except ValueError as error:
            raise invalid("The request body is not valid JSON.") from error
        if not isinstance(decoded, dict):
            raise invalid("The request body must be a JSON object.")
        return decoded
    root: dict[str, Any] = {}
    for name, value in parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True):
        _put(root, [name.split("[", 1)[0], *_BRACKETS.findall(name)], value)
    return {name: _lists(value, name) for name, value in root.items()}


def _put(root: dict[str, Any], path: list[str], value: str) -> None:
    if len(path) > MAX_DEPTH:
        raise invalid(f"Invalid parameter nesting: {path[0]}")
    node = root
    for part in path[:-1]:
        node = node.setdefault(part or str(len(node)), {})
        if not isinstance(node, dict):
            raise invalid(f"Invalid {path[0]}: given both as a value and as a hash", path[0])
    node[path[-1] or str(len(node))] = value


def _lists(value: Any, name: str) -> Any:
    """Convert hashes with only numeric keys to arrays, except in metadata."""
    if not isinstance(value, dict) or name == "metadata":
        return value
    if value and all(key.isdigit() for key in value):
        return [_lists(value[key], name) for key in sorted(value, key=int)]
    return {key: _lists(item, key) for key, item in value.items()}


# -- leaves -----------------------------------------------------------------------------------------------


def text(value: Any, path: str) -> str:
    """Read any string."""
    if not isinstance(value, str | int | float):
        raise invalid(f"Invalid string: {value!r}", path)
    if len(str(value)) > MAX_TEXT:
        raise invalid(f"Invalid string: must be at most {MAX_TEXT} characters", path)
    return str(value)


def integer(value: Any, path: str) -> int:
    """Read a whole number."""
    if not re.fullmatch(r"-?\d{1,18}", str(value)):
        raise invalid(f"Invalid integer: {value}", path, "parameter_invalid_integer")
    return int(value)


def decimal(value: Any, path: str) -> str:
    """Read a decimal number as text, to avoid rounding."""
    if not re.fullmatch(r"-?\d{1,18}(\.\d{1,12})?", str(value)):
        raise invalid(f"Invalid decimal: {value}", path)
    return str(value)


def boolean(value: Any, path: str) -> bool:
    """Read `true` or `false`."""
    if str(value).lower() not in ("true", "false"):
        raise invalid(f"Invalid boolean: {value}", path)
    return str(value).lower() == "true"


def anything(value: Any, path: str) -> Any:
    """Accept any value unchecked."""
    return value


def metadata(value: Any, path: str) -> dict[str, str]:
    """Read a hash of strings; an empty value removes the key."""
    if not isinstance(value, dict) or any(isinstance(item, dict | list) for item in value.values()):
        raise invalid("Invalid hash", path)
    if len(value) > MAX_METADATA_KEYS:
        raise invalid(f"Metadata can have up to {MAX_METADATA_KEYS} keys", path)
    for key, item in value.items():
        if len(key) > 40 or len(str(item)) > 500:
            raise invalid("Metadata keys can have up to 40 and values up to 500 characters", path)
    return {key: str(item) for key, item in value.items()}


def one_of(*values: str) -> Leaf:
    """Return a leaf for one of these words."""

    def read(value: Any, path: str) -> str:
        if value not in values:
            raise invalid(f"Invalid {path}: must be one of {', '.join(values[:-1])} or {values[-1]}", path)
        return str(value)

    return read


def integer_or(*words: str) -> Leaf:
    """Return a leaf for a whole number or one of these words."""

    def read(value: Any, path: str) -> int | str:
        return str(value) if value in words else integer(value, path)

    return read


RANGE = {"gt": integer, "gte": integer, "lt": integer, "lte": integer}


def time_filter(value: Any, path: str) -> dict[str, int]:
    """Read a timestamp, or a hash of `gt`, `gte`, `lt`, `lte`; always returns a hash."""
    if isinstance(value, dict):
        checked: dict[str, int] = check(value, RANGE, path)
        return checked
    moment = integer(value, path)
    return {"gte": moment, "lte": moment}


LIST = {"limit": integer, "starting_after": text, "ending_before": text, "created": time_filter}
"""Parameters of every list."""


# -- checks -----------------------------------------------------------------------------------------------


def check(value: Any, schema: Schema, path: str = "") -> Any:
    """Return the typed value, or raise Stripe's fault. An empty string unsets a value and becomes None."""
    if value == "" or value is None:
        return None
    if isinstance(schema, Mapping):
        return _check_hash(value, schema, path)
    if isinstance(schema, list):
        if not isinstance(value, list):
            raise invalid("Invalid array", path)
        return [check(item, schema[0], f"{path}[{index}]") for index, item in enumerate(value)]
    return schema(value, path)


def _check_hash(value: Any, schema: Mapping[str, Schema], path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise invalid("Invalid object" if path else "Invalid request", path or None)
    required = {name[:-1] for name in schema if name.endswith("!")}
    known = {name.rstrip("!"): item for name, item in schema.items()}
    for name in value:
        if name not in known:
            raise unknown_parameter(_join(path, name))
    for name in required:
        if value.get(name) in (None, ""):
            raise missing_parameter(_join(path, name))
    return {name: check(item, known[name], _join(path, name)) for name, item in value.items()}


def _join(path: str, name: str) -> str:
    return f"{path}[{name}]" if path else name


def merge_metadata(current: dict[str, str] | None, given: dict[str, str] | None) -> dict[str, str]:
    """Return the updated metadata: None clears it, an empty value removes a key, other keys stay."""
    if given is None:
        return {}
    merged = {**(current or {}), **given}
    return {key: value for key, value in merged.items() if value != ""}


__all__ = [
    "LIST", "StripeFault", "anything", "boolean", "check", "decimal", "decode", "integer", "integer_or",
    "merge_metadata", "metadata", "one_of", "text", "time_filter",
]  # fmt: skip
