"""Walking a catalog document that may be invalid anywhere, so that one mistake does not hide others.

The rules read a document through `Node`, which returns values of the expected type only. A value of another
type is reported by the validation of the document's structure and treated as absent here.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from tallystick.messages.catalog import CatalogProblem

ROOT = "$"
"""The path of the document itself."""


@dataclass(frozen=True, slots=True)
class Node:
    """A value inside a document and its path."""

    value: object
    path: str = ""

    def at(self, field: str) -> str:
        """Return the path of a field, whether it exists or not."""
        return f"{self.path}.{field}" if self.path else field

    def has(self, field: str) -> bool:
        """Whether the field exists and is not null."""
        return self._get(field) is not None

    def is_null(self, field: str) -> bool:
        """Whether the field exists and is null."""
        return isinstance(self.value, dict) and field in self.value and self.value[field] is None

    def text(self, field: str) -> str | None:
        """Return the field if it is a string."""
        value = self._get(field)
        return value if isinstance(value, str) else None

    def number(self, field: str) -> int | None:
        """Return the field if it is an integer."""
        value = self._get(field)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def truth(self, field: str) -> bool | None:
        """Return the field if it is a boolean."""
        value = self._get(field)
        return value if isinstance(value, bool) else None

    def child(self, field: str) -> "Node | None":
        """Return the field if it is an object."""
        value = self._get(field)
        return Node(value, self.at(field)) if isinstance(value, dict) else None

    def each(self, field: str) -> "Iterator[Node]":
        """Yield the objects in a list field; other values in it are skipped."""
        for index, item in enumerate(self.entries(field)):
            if isinstance(item, dict):
                yield Node(item, f"{self.at(field)}[{index}]")

    def problem(self, field: str, problem: str) -> CatalogProblem:
        """Return a problem of a field of this node."""
        return CatalogProblem(path=self.at(field), problem=problem)

    def is_empty_list(self, field: str) -> bool:
        """Whether the field exists and is an empty list."""
        return self._get(field) == []

    def entries(self, field: str) -> list[object]:
        """Return the field if it is a list of anything, else an empty list."""
        value = self._get(field)
        return value if isinstance(value, list) else []

    def _get(self, field: str) -> object:
        return self.value.get(field) if isinstance(self.value, dict) else None
