"""Parsing a catalog document into a typed document, or a list of all its problems."""

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import JsonValue, ValidationError
from pydantic_core import ErrorDetails

from services.subscriptions.domain.catalog.document_rules import rule_problems
from services.subscriptions.domain.catalog.document_walker import ROOT
from tallystick.messages.catalog import CatalogDocument, CatalogProblem

PROBLEMS_MAX = 200
"""The most problems reported at once: enough to work on, and far below an answer's size limit."""
SHOWN_MAX_CHARACTERS = 40
"""The most characters of an invalid value repeated in a problem."""


def read_document(catalog: JsonValue) -> CatalogDocument | list[CatalogProblem]:
    """Return the document, or its problems: first those of its structure, then those of the rules."""
    document: CatalogDocument | None = None
    structural: list[CatalogProblem] = []
    try:
        document = CatalogDocument.model_validate(catalog)
    except ValidationError as error:
        structural = [_problem(details) for details in error.errors(include_url=False)]
    problems = [*structural, *rule_problems(catalog)]
    if document is not None and not problems:
        return document
    return truncate_problems(problems)


def truncate_problems(problems: Sequence[CatalogProblem]) -> list[CatalogProblem]:
    """Return at most `PROBLEMS_MAX` problems; the last one then says how many more there are."""
    if len(problems) <= PROBLEMS_MAX:
        return list(problems)
    rest = CatalogProblem(path=ROOT, problem=f"and {len(problems) - PROBLEMS_MAX + 1} more problems")
    return [*problems[: PROBLEMS_MAX - 1], rest]


def _problem(error: ErrorDetails) -> CatalogProblem:
    location = error["loc"]
    problem = _explain(error)
    if "tiers" in location[:-1]:
        index = location[location.index("tiers") + 1]
        problem = f"tier {int(index) + 1}: {problem}"
    return CatalogProblem(path=_path(location), problem=problem)


def _path(location: Iterable[int | str]) -> str:
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            # The name of an unknown field is input of any length.
            name = part if len(part) <= SHOWN_MAX_CHARACTERS else f"{part[:SHOWN_MAX_CHARACTERS]}…"
            path += f".{name}" if path else name
    return path or ROOT


def _explain(error: ErrorDetails) -> str:
    context: dict[str, Any] = error.get("ctx", {})
    shown = _shown(error["input"])
    match error["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden" if "tiers" in error["loc"]:
            return "is not a field of a tier, which begins where the one before it ends (`up_to`)"
        case "extra_forbidden":
            return "is not a field here"
        case "int_type":
            return f"must be a whole number, not {shown}"
        case "literal_error":
            return f"must be {context['expected']}, not {shown}"
        case "string_pattern_mismatch":
            return f"{shown} does not match {context['pattern']}"
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"must be an object, not {shown}"
        case _:
            return f"{error['msg'].removeprefix('Input should ')}, not {shown}".replace("be ", "must be ", 1)


def _shown(value: object) -> str:
    match value:
        case dict():
            return "an object"
        case list():
            return "a list"
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
    text = str(value) if isinstance(value, int | float) else repr(value)
    return text if len(text) <= SHOWN_MAX_CHARACTERS else f"{text[:SHOWN_MAX_CHARACTERS]}…"
