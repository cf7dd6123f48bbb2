"""Walking a catalog document that may be wrong anywhere, so that one mistake does not hide the others.

The rules read a document through `Node`, which answers only with values of the right kind. A value of the
wrong kind is reported by the check of the document's structure and is simply absent here.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from tallystick.messages.catalog import CatalogProblem

ROOT = "$"
"""The path of the document itself."""


@dataclass(frozen=True, slots=True)
class Node:
    """A value inside a document and the path that leads to it."""

    value: object
    path: str = ""

    def at(self, field: str) -> str:
        """The path of a field of this node, whether it is there or not."""
        return f"{self.path}.{field}" if self.path else field

    def has(self, field: str) -> bool:
        """Whether the field is there and not null."""
        return self._get(field) is not None

    def is_null(self, field: str) -> bool:
        """Whether the field is there, as null."""
        return isinstance(self.value, dict) and field in self.value and self.value[field] is None

    def text(self, field: str) -> str | None:
        """The field if it is text."""
        value = self._get(field)
        return value if isinstance(value, str) else None

    def number(self, field: str) -> int | None:
        """The field if it is a whole number."""
        value = self._get(field)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def truth(self, field: str) -> bool | None:
        """The field if it is true or false."""
        value = self._get(field)
        return value if isinstance(value, bool) else None

    def child(self, field: str) -> "Node | None":
        """The field if it is an object."""
        value = self._get(field)
        return Node(value, self.at(field)) if isinstance(value, dict) else None

    def each(self, field: str) -> "Iterator[Node]":
        """The objects of a field that is a list; other things in it are left out."""
        for index, item in enumerate(self.entries(field)):
            if isinstance(item, dict):
                yield Node(item, f"{self.at(field)}[{index}]")

    def problem(self, field: str, problem: str) -> CatalogProblem:
        """Something wrong with a field of this node."""
        return CatalogProblem(path=self.at(field), problem=problem)

    def is_empty_list(self, field: str) -> bool:
        """Whether the field is there as an empty list."""
        return self._get(field) == []

    def entries(self, field: str) -> list[object]:
        """The field if it is a list, whatever is in it; otherwise nothing."""
        value = self._get(field)
        return value if isinstance(value, list) else []

    def _get(self, field: str) -> object:
        return self.value.get(field) if isinstance(self.value, dict) else None
