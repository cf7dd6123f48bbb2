"""What `./dev up` writes: a line for each step, the workers' logs with a name before them, and the map."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

# One colour a worker, in the order they are first heard of.
_COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "bright_red")
_NAME_WIDTH = 14
# A log grows to this size before the next start puts it aside; one older log is kept.
_LOG_SIZE_BYTES = 10 * 1024 * 1024


class Output:
    """The terminal, or whatever stands in for it."""

    def __init__(self) -> None:
        """Coloured where it is a terminal. Lines are never wrapped: logs are to be searched."""
        self._console = Console(highlight=False, soft_wrap=True)
        self._colours: dict[str, str] = {}

    def say(self, message: str, style: str = "") -> None:
        """A line of the supervisor's own."""
        self._print(Text(message, style=style))

    def step(self, message: str) -> None:
        """Something is being done."""
        self.say(f"· {message}", "dim")

    def warn(self, message: str) -> None:
        """Something went wrong that is being taken care of."""
        self.say(f"! {message}", "yellow")

    def fail(self, message: str) -> None:
        """Something went wrong that ends the start."""
        self.say(f"✗ {message}", "red")

    def log_line(self, name: str, line: str) -> None:
        """A line that a worker wrote."""
        colour = self._colours.setdefault(name, _COLOURS[len(self._colours) % len(_COLOURS)])
        self._print(Text.assemble((f"{name:<{_NAME_WIDTH}}", colour), " ", Text.from_ansi(line)))

    def table(self, title: str, rows: list[tuple[str, str, str]]) -> None:
        """Names, addresses, what each is for. Nothing is cut off in a narrow terminal: one copies it."""
        self._print("", Text(title, style="bold"))
        address_width = max(len(address) for _, address, _ in rows)
        for name, address, purpose in rows:
            self._print(
                Text.assemble(
                    (f"{name:<{_NAME_WIDTH}} ", "bold"),
                    (f"{address:<{address_width}}  ", "cyan"),
                    (purpose, "dim"),
                )
            )
        self._print("")

    def _print(self, *parts: object) -> None:
        # Whoever read our output may have left (`./dev up | head`): the sandbox runs on without a reader.
        try:
            for part in parts:
                self._console.print(part)
            sys.stdout.flush()
        except BrokenPipeError:
            sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
            self._console = Console(file=sys.stdout)


def set_aside_if_large(log: Path) -> None:
    """Put a log that has grown large aside before more is written to it."""
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > _LOG_SIZE_BYTES:
            log.replace(log.with_suffix(".log.1"))
