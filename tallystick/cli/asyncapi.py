"""`asyncapi`: print the AsyncAPI document, or check the stored one against the message types."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from tallystick.asyncapi import document, rendered
from tallystick.cli.output import CommandFailed, output
from tallystick.subjects import DEFAULT_PREFIX


def asyncapi(
    check: Annotated[
        Path | None,
        typer.Option(help="Compare with this file instead of printing.", show_default=False),
    ] = None,
    prefix: Annotated[str, typer.Option(help="SUBJECT_PREFIX of the installation.")] = DEFAULT_PREFIX,
) -> None:
    """Print the AsyncAPI 3.0 document: every command, question and event with its schema."""
    if check is None:
        output.file.write(rendered(prefix))
        return
    try:
        stored = json.loads(check.read_text())
    except (OSError, ValueError) as error:
        raise CommandFailed(f"{escape(str(check))} cannot be read: {error}") from None
    if stored != json.loads(json.dumps(document(prefix))):
        raise CommandFailed(
            f"{escape(str(check))} is out of date: `python -m tallystick asyncapi > {escape(str(check))}`"
        )
    output.print(f"[green]✓[/] {escape(str(check))} is up to date")
