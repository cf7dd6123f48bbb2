"""How dead letters are displayed, whatever they contain."""

import json
from typing import Any

import pytest

from tallystick.client.dead_letters import SHOWN_DEPTH_MAX, DeadLetter

DEEP = SHOWN_DEPTH_MAX + 1


def shown(body: bytes) -> Any:
    return DeadLetter(1, {}, body).readable_body()


@pytest.mark.parametrize(
    "body",
    [b'{"a": [1, {"b": null}]}', b'"text"', b"[" * (SHOWN_DEPTH_MAX - 1) + b"]" * (SHOWN_DEPTH_MAX - 1)],
)
def test_json_is_shown_as_json(body: bytes) -> None:
    assert shown(body) == json.loads(body)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"not json", "not json"),
        (b"\xff\x00", "\ufffd\x00"),
        (b'{"name": "\\ud800"}', '{"name": "\\ud800"}'),
        (b"[" * DEEP + b"]" * DEEP, "[" * DEEP + "]" * DEEP),
        (b"[" * 100_000, "[" * 100_000),
        (b"", ""),
    ],
)
def test_a_body_that_is_no_json_is_shown_as_text(body: bytes, text: str) -> None:
    assert shown(body) == text
