"""Messages that are rejected: unknown fields, NUL, large values and ids with special characters."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from tallystick.messages import COMMANDS, QUESTIONS
from tallystick.messages.base import Customer, Request
from tests.support import golden

ASKED: dict[str, type[Request[Any]]] = {
    f"{service}.{name}": model for (service, name), model in (COMMANDS | QUESTIONS).items()
}
MAPPINGS = {"metadata", "features"}
"""Fields with keys of the sender's choice."""
OPAQUE = {"catalog"}
"""Fields that take any JSON, and whose handler says what is wrong in it."""
Path = tuple[str | int, ...]
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT")
EVIL_TEXTS = {
    "NUL": "a\x00b",
    "half a character": "\ud800",
    "a megabyte": "x" * 1_048_576,
    "wildcards": "*",
    "the full wildcard": ">",
    "a subject": "a.b",
    "a way up": "../../etc",
    "a space": "a b",
    "nothing": "",
}
ID_FIELDS = {
    "id",
    "subscription_id",
    "event_id",
    "feature",
    "price",
    "stripe_customer_id",
    "status",
    "at",
}
"""Fields whose text becomes part of a subject, a key or a path; free text may hold dots and stars."""
FREE_OF = {"NUL", "half a character", "a megabyte"}
"""What even free text must not be."""


def leaves(document: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield every plain value in a document with its path."""
    if isinstance(document, dict):
        for key, value in document.items():
            if key not in OPAQUE:
                yield from leaves(value, (*path, key))
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield from leaves(value, (*path, index))
    else:
        yield path, document


def with_value(document: Any, path: Path, value: Any) -> Any:
    """A copy of the document with another value at the end of the path."""
    copy = json.loads(json.dumps(document))
    inner = copy
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return copy


def is_refused(model: type[Request[Any]], document: Any) -> bool:
    try:
        model.model_validate_json(json.dumps(document))
    except ValidationError:
        return True
    return False


def cases(kind: type) -> list[Any]:
    """Every plain value of one type in every example."""
    return [
        pytest.param(name, path, id=f"{name}:{'.'.join(str(step) for step in path)}")
        for name in sorted(ASKED)
        for path, value in leaves(golden.read(name)["message"])
        if type(value) is kind
    ]


def value_of(name: str, path: Path) -> Any:
    return dict(leaves(golden.read(name)["message"]))[path]


@pytest.mark.parametrize("name", sorted(ASKED))
def test_a_field_nobody_knows_is_refused(name: str) -> None:
    message = golden.read(name)["message"]
    assert is_refused(ASKED[name], {**message, "typo": 1})
    for path, _ in leaves(message):
        if len(path) > 1 and isinstance(path[-1], str) and path[0] not in MAPPINGS:
            assert is_refused(ASKED[name], with_value(message, (*path[:-1], "typo"), 1))


@pytest.mark.parametrize(("name", "path"), cases(str))
def test_a_text_that_reaches_elsewhere_is_refused(name: str, path: Path) -> None:
    message = golden.read(name)["message"]
    for evil, text in EVIL_TEXTS.items():
        if path[-1] in ID_FIELDS or evil in FREE_OF:
            assert is_refused(ASKED[name], with_value(message, path, text)), evil


@pytest.mark.parametrize(("name", "path"), [*cases(str), *cases(int), *cases(bool)])
def test_a_value_of_another_type_is_refused(name: str, path: Path) -> None:
    message = golden.read(name)["message"]
    others: list[Any] = [{}, [], 1.5, [[["deep"]]]]
    value = value_of(name, path)
    others += [1, True] if isinstance(value, str) else ["1", "true"]
    for other in others:
        assert is_refused(ASKED[name], with_value(message, path, other)), repr(other)


@pytest.mark.parametrize(("name", "path"), cases(int))
def test_a_number_beyond_64_bits_is_refused(name: str, path: Path) -> None:
    message = golden.read(name)["message"]
    for number in (2**63, -(2**63) - 1, 10**400):
        assert is_refused(ASKED[name], with_value(message, path, number))


@pytest.mark.parametrize(
    ("name", "path"), [case for case in cases(str) if MOMENT.match(str(value_of(*case.values)))]
)
def test_what_is_no_moment_of_utc_is_refused(name: str, path: Path) -> None:
    message = golden.read(name)["message"]
    beyond = ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-01:00")
    for moment in (*beyond, "2026-01-01T00:00:00", "2026-01-01", "2026", "20260101", "1767225600.5"):
        assert is_refused(ASKED[name], with_value(message, path, moment)), moment


@pytest.mark.parametrize(
    "body", [b"", b"not json", b"null", b"[]", b'"text"', b"1", b"\xff\xfe", b"{}" + b"}" * 9]
)
@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_body_that_is_no_object_is_refused(name: tuple[str, str], body: bytes) -> None:
    with pytest.raises(ValidationError):
        COMMANDS[name].model_validate_json(body)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_needs_its_id_of_1_to_128_characters(name: tuple[str, str]) -> None:
    message = golden.read(".".join(name))["message"]
    model = COMMANDS[name]
    assert not is_refused(model, {**message, "command_id": "x" * 128})
    for wrong in ("", "x" * 129, None, 7):
        assert is_refused(model, {**message, "command_id": wrong})
    del message["command_id"]
    assert is_refused(model, message)


@pytest.mark.parametrize("identifier", ["a", "A-9", "x" * 64])
def test_a_customer_id_of_letters_digits_and_hyphens_is_taken(identifier: str) -> None:
    customer = Customer(type="user", id=identifier)
    assert Customer.from_token(customer.token) == customer


@pytest.mark.parametrize(
    "identifier", ["", "x" * 65, "a_b", "a.b", "*", ">", "../a", "ä", "a\n", "a\x00", " a"]
)
def test_any_other_customer_id_is_refused(identifier: str) -> None:
    with pytest.raises(ValidationError):
        Customer.model_validate({"type": "user", "id": identifier})
    with pytest.raises(ValidationError):
        Customer.from_token(f"user_{identifier}")


@pytest.mark.parametrize(
    "metadata", [{"a\x00": "b"}, {"a": "\x00"}, {"": "b"}, {"k" * 41: "b"}, {"a": "v" * 501}]
)
def test_metadata_that_cannot_be_kept_is_refused(metadata: dict[str, str]) -> None:
    message = golden.read("subscriptions.register_customer")["message"]
    assert is_refused(ASKED["subscriptions.register_customer"], {**message, "metadata": metadata})
