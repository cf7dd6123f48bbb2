"""Terminal output of `./dev up`: start steps, prefixed worker logs and the table of endpoints."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

# One colour per worker, assigned in order of first output.
_COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "bright_red")
_NAME_WIDTH = 14
# A larger log is rotated at the next start; one old log is kept.
_LOG_SIZE_BYTES = 10 * 1024 * 1024


class Output:
    """Terminal output, or another stream."""

    def __init__(self) -> None:
        """Use colours on a terminal. Lines are never wrapped, so that logs can be searched."""
        self._console = Console(highlight=False, soft_wrap=True)
        self._colours: dict[str, str] = {}

    def say(self, message: str, style: str = "") -> None:
        """Print a line of the supervisor."""
        self._print(Text(message, style=style))

    def step(self, message: str) -> None:
        """Print the start of a step."""
        self.say(f"· {message}", "dim")

    def warn(self, message: str) -> None:
        """Print a problem that the supervisor handles."""
        self.say(f"! {message}", "yellow")

    def fail(self, message: str) -> None:
        """Print an error that aborts the start."""
        self.say(f"✗ {message}", "red")

    def log_line(self, name: str, line: str) -> None:
        """Print a line that a worker wrote."""
        colour = self._colours.setdefault(name, _COLOURS[len(self._colours) % len(_COLOURS)])
        self._print(Text.assemble((f"{name:<{_NAME_WIDTH}}", colour), " ", Text.from_ansi(line)))

    def table(self, title: str, rows: list[tuple[str, str, str]]) -> None:
        """Print names, addresses and purposes; nothing is cut off in a narrow terminal."""
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
        # The reader may have closed the pipe (`./dev up | head`); the sandbox continues without it.
        try:
            for part in parts:
                self._console.print(part)
            sys.stdout.flush()
        except BrokenPipeError:
            sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
            self._console = Console(file=sys.stdout)


def set_aside_if_large(log: Path) -> None:
    """Rotate a log that has grown too large."""
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > _LOG_SIZE_BYTES:
            log.replace(log.with_suffix(".log.1"))
