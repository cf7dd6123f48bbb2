"""Compatibility of every message: the stored examples are still accepted and still look the same."""

import json
from typing import Any

import pytest
from pydantic import BaseModel

from tallystick.messages import COMMANDS, EVENTS, QUESTIONS
from tallystick.messages.base import Request
from tallystick.subjects import Subjects
from tests.support import golden

ASKED: dict[str, type[Request[Any]]] = {
    f"{service}.{name}": model for (service, name), model in (COMMANDS | QUESTIONS).items()
}
FED = {f"feed.{entity}V{version}": model for (entity, version), model in EVENTS.items()}


def parsed_and_written(model: type[BaseModel], document: dict[str, Any]) -> Any:
    """Parse a document and write it again, without the fields that it did not have."""
    return json.loads(model.model_validate_json(json.dumps(document)).model_dump_json(exclude_unset=True))


def test_messages_and_examples_match_one_to_one() -> None:
    assert golden.names() == set(ASKED) | set(FED)


@pytest.mark.parametrize("name", sorted(ASKED))
def test_a_message_keeps_its_form(name: str) -> None:
    example = golden.read(name)
    assert parsed_and_written(ASKED[name], example["message"]) == example["message"]


@pytest.mark.parametrize("name", sorted(ASKED))
def test_a_result_keeps_its_form_down_to_the_last_field(name: str) -> None:
    example = golden.read(name)
    result = ASKED[name].result.model_validate_json(json.dumps(example["result"]))
    assert json.loads(result.model_dump_json()) == example["result"]


@pytest.mark.parametrize("name", sorted(FED))
def test_an_event_keeps_its_form_down_to_the_last_field(name: str) -> None:
    example = golden.read(name)
    event = FED[name].model_validate_json(json.dumps(example["body"]))
    assert json.loads(event.model_dump_json()) == example["body"]
    subject = Subjects().parse_event(example["subject"])
    assert (subject.entity, subject.schema) == (FED[name].entity, FED[name].schema_version)
    assert subject.event in FED[name].names


@pytest.mark.parametrize("name", sorted(FED))
def test_a_snapshot_names_itself_and_its_version(name: str) -> None:
    entity = FED[name].entity
    body = golden.read(name)["body"]
    assert all(body[entity][field] for field in FED[name].identity)
    assert body[entity]["version"] == body["version"]


@pytest.mark.parametrize("name", sorted(FED))
def test_an_event_with_fields_of_the_future_is_still_read(name: str) -> None:
    body = golden.read(name)["body"]
    entity = FED[name].entity
    future = {**body, "new": {"deep": [1]}, entity: {**body[entity], "new": True}}
    assert FED[name].model_validate_json(json.dumps(future)) == FED[name].model_validate_json(
        json.dumps(body)
    )


@pytest.mark.parametrize("name", sorted(ASKED))
def test_a_result_with_fields_of_the_future_is_still_read(name: str) -> None:
    result = golden.read(name)["result"]
    ASKED[name].result.model_validate_json(json.dumps({**result, "new": {"deep": [1]}}))
