"""Output of the command line: results on stdout, everything else on stderr.

Without a terminal, results are plain JSON.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

output = Console(soft_wrap=False)
errors = Console(stderr=True)


class CommandFailed(Exception):
    """Expected failure of a command; the message is Rich markup, and empty when it was already printed."""

    def __init__(self, message: str = "", exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class WrongUsage(CommandFailed):
    """Invalid command line; nothing was sent."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message, exit_code=2)


def print_json(document: Any, *, compact: bool = False) -> None:
    """Print JSON on stdout: coloured and indented on a terminal, otherwise one plain line."""
    if output.is_terminal and not compact:
        output.print_json(data=document)
    else:
        output.file.write(json.dumps(document, ensure_ascii=False) + "\n")
        output.file.flush()


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, to: Console = output
) -> None:
    """Print a table of plain values; the last column takes the remaining width, the first never wraps.

    The first column holds the identifiers, which users copy.
    """
    table = Table(title=title or None, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for number, column in enumerate(columns):
        is_last = number == len(columns) - 1
        table.add_column(column, overflow="fold", ratio=1 if is_last else None, no_wrap=number == 0)
    for row in rows:
        table.add_row(*(escape(str(value)) for value in row))
    to.print(table)
