"""The golden files in `tests/contracts/golden`: an example of each message."""

import json
from pathlib import Path
from typing import Any

DIRECTORY = Path(__file__).parents[1] / "contracts" / "golden"


def read(name: str) -> dict[str, Any]:
    """A message's example: `{message, result}` of a command or question, `{subject, body}` of an event."""
    document: dict[str, Any] = json.loads((DIRECTORY / f"{name}.json").read_text())
    return document


def names() -> set[str]:
    """Return the names of all examples."""
    return {path.stem for path in DIRECTORY.glob("*.json")}
