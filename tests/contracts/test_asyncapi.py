"""The AsyncAPI document is complete, matches the messages, and equals the stored file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from tallystick.asyncapi import document, rendered
from tallystick.messages import COMMANDS, EVENTS, QUESTIONS
from tallystick.subjects import Subjects
from tests.support import golden

STORED = Path(__file__).parents[2] / "docs" / "asyncapi.json"
DOCUMENT = document()
ASKED = {f"{service}.{name}": model for (service, name), model in (COMMANDS | QUESTIONS).items()}
REGISTRY: Registry[Any] = Registry().with_resource(
    "urn:asyncapi", Resource.from_contents(DOCUMENT, default_specification=DRAFT202012)
)


def at(reference: str) -> Any:
    """Resolve a reference within the document."""
    found: Any = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        found = found[step.replace("~1", "/").replace("~0", "~")]
    return found


def references(part: Any) -> Iterator[str]:
    """Every reference in a part of the document."""
    if isinstance(part, dict):
        for key, value in part.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def problems(message: str, body: Any) -> list[str]:
    """Return the errors of a body against the document's schema for a message."""
    payload = at(f"#/components/messages/{message}")["payload"]
    schema = {"$ref": f"urn:asyncapi{payload['$ref']}"}
    return [error.message for error in Draft202012Validator(schema, registry=REGISTRY).iter_errors(body)]


def test_the_stored_document_is_up_to_date() -> None:
    assert STORED.read_text() == rendered(), "python -m tallystick asyncapi > docs/asyncapi.json"


def test_the_document_has_the_parts_the_standard_asks_for() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= DOCUMENT["info"].keys()
    for name, channel in DOCUMENT["channels"].items():
        assert channel.keys() >= {"address", "messages"}, name
        named = {part[1:-1] for part in (channel["address"] or "").split(".") if part.startswith("{")}
        assert named == channel.get("parameters", {}).keys(), name
    for name, operation in DOCUMENT["operations"].items():
        assert operation["action"] in ("send", "receive"), name
        assert operation["channel"]["$ref"].removeprefix("#/channels/") in DOCUMENT["channels"], name


def test_every_reference_leads_somewhere() -> None:
    found = list(references(DOCUMENT))
    assert found
    for reference in found:
        assert isinstance(at(reference), dict), reference


def test_every_schema_is_a_schema() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("name", sorted(ASKED))
def test_a_command_or_question_is_there_with_its_reply(name: str) -> None:
    service, _, short = name.partition(".")
    assert DOCUMENT["channels"][f"request.{name}"]["address"] == f"billing.requests.{service}.{short}"
    operation = DOCUMENT["operations"][f"request.{name}"]
    assert operation["reply"]["channel"] == {"$ref": f"#/channels/reply.{name}"}
    queued = DOCUMENT["channels"].get(f"queue.{name}", {}).get("address")
    expected = f"billing.commands.{service}.{short}" if (service, short) in COMMANDS else None
    assert queued == expected


@pytest.mark.parametrize("name", sorted(ASKED))
def test_the_examples_fit_the_schemas(name: str) -> None:
    example = golden.read(name)
    assert problems(name, example["message"]) == []
    assert problems(name, {**example["message"], "typo": 1}) != []
    identity = {"command_id": "caller-1"} if "command_id" in example["message"] else {}
    succeeded = {**identity, "status": "succeeded", "result": example["result"]}
    assert problems(f"{name}.outcome", succeeded) == []


@pytest.mark.parametrize("name", sorted(ASKED))
def test_an_outcome_has_the_codes_of_its_message_and_no_others(name: str) -> None:
    for code in (*ASKED[name].rejections, "invalid_message"):
        assert problems(f"{name}.outcome", {"status": "rejected", "error": {"code": code}}) == []
    assert problems(f"{name}.outcome", {"status": "rejected", "error": {"code": "made_up"}}) != []
    assert problems(f"{name}.outcome", {"status": "failed", "error": {"code": "unavailable"}}) == []


@pytest.mark.parametrize(("entity", "schema"), sorted(EVENTS))
def test_every_event_is_there_and_its_example_fits(entity: str, schema: int) -> None:
    example = golden.read(f"feed.{entity}V{schema}")
    channel = DOCUMENT["channels"][f"feed.{entity}V{schema}"]
    names = [f"{name}V{schema}" for name in EVENTS[entity, schema].names]
    assert channel["parameters"]["event"]["enum"] == names
    for name in names:
        assert f"{entity}.{name}" in channel["messages"]
        assert problems(f"{entity}.{name}", example["body"]) == []
    subject = Subjects().parse_event(example["subject"])
    address = channel["address"].format(customer=subject.customer, event=f"{subject.event}V{schema}")
    assert address == example["subject"]


def test_an_entry_of_the_bucket_fits() -> None:
    example = golden.read("subscriptions.check_entitlement")["result"]
    assert problems("entitlement.entry", {**example, "version": 4}) == []
    assert problems("entitlement.entry", example) != []


def test_another_prefix_moves_every_subject() -> None:
    moved = document("acme")
    addresses = [channel["address"] or "" for channel in moved["channels"].values()]
    assert not any(address.startswith("billing.") for address in addresses)
    assert "acme.requests.webhooks.replay" in addresses
