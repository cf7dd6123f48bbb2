"""Command line client for operators and scripts; it needs the extra `tallystick[cli]`."""

import sys

try:
    from tallystick.cli.app import main
except ModuleNotFoundError as error:
    if error.name not in ("typer", "rich", "yaml"):
        raise
    sys.exit(f"{error.name} is not installed. Install the command line client: pip install 'tallystick[cli]'")

__all__ = ["main"]
