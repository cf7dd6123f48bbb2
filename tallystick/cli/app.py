"""Command line application: registers the commands and maps expected errors to messages and exit codes."""

import logging
import sys

import nats.errors
import typer

from tallystick.cli import (
    asyncapi,
    catalog,
    dead_letters,
    doctor,
    invitations,
    licenses,
    messages,
    replay,
    watch,
)
from tallystick.cli.output import CommandFailed, errors
from tallystick.client.errors import DeadlineExceeded, TallystickError, Unreachable

EXIT_FAILED = 1
EXIT_UNREACHABLE = 3
"""Differs from 1, so that a script can tell a retryable failure from a final one. 2 means wrong usage."""
EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="tallystick",
    help="Talk to the billing services: send commands, ask questions, watch what changes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="rich",
)
app.command("request")(messages.request)
app.command("send")(messages.send)
app.command("messages")(messages.describe)
app.command("watch")(watch.watch)
app.command("invitations")(invitations.invitations)
app.command("replay")(replay.replay)
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(catalog.app, name="catalog")
app.add_typer(licenses.app, name="licenses")
app.command("doctor")(doctor.doctor)
app.command("asyncapi")(asyncapi.asyncapi)


def main() -> None:
    """Run the command line and exit with its exit code."""
    # nats-py logs each lost connection with a traceback; the commands print their own messages instead.
    logging.getLogger("nats").setLevel(logging.CRITICAL)
    logging.getLogger("tallystick").setLevel(logging.CRITICAL)
    try:
        app()
    except CommandFailed as failure:
        if str(failure):
            errors.print(f"[red]✗[/] {failure}", highlight=False, soft_wrap=True)
        sys.exit(failure.exit_code)
    except (Unreachable, DeadlineExceeded) as error:
        errors.print("[red]✗[/]", str(error), markup=True, highlight=False, soft_wrap=True)
        errors.print("  `doctor` says what is reachable and what is not.", style="dim")
        sys.exit(EXIT_UNREACHABLE)
    except (TimeoutError, TallystickError, nats.errors.Error, OSError) as error:
        errors.print("[red]✗[/]", str(error) or type(error).__name__, highlight=False, soft_wrap=True)
        sys.exit(EXIT_FAILED)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
