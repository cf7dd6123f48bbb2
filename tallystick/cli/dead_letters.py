"""`dead-letters`: list the messages that could not be processed, inspect them and send them back."""

import asyncio
import os
from datetime import datetime
from typing import Annotated, Any

import nats.errors
import typer
from rich.markup import escape

from tallystick.cli.installation import EndpointsOption, NatsOption, Place, locate
from tallystick.cli.output import CommandFailed, WrongUsage, errors, output, print_json, print_table
from tallystick.cli.times import ago
from tallystick.client import Client
from tallystick.client.dead_letters import DeadLetter, read_all, read_one, send_back
from tallystick.subjects import DEFAULT_WEBHOOK_SUBJECT

ERROR_WIDTH_CHARACTERS = 120
"""Maximum length of an error in the list; `show` prints all of it."""

app = typer.Typer(
    help="Messages that could not be processed: list, inspect, send back.", no_args_is_help=True
)

Service = Annotated[str | None, typer.Option(help="Only of one service.", show_default=False)]
Handler = Annotated[str | None, typer.Option(help="Only of one handler.", show_default=False)]


@app.command("list")
def list_letters(
    service: Service = None,
    handler: Handler = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    nats: NatsOption = None,
    endpoints: EndpointsOption = None,
) -> None:
    """List the dead letters, oldest first."""
    letters = asyncio.run(_read_matching(locate(nats, endpoints, "admin"), service, handler))
    if as_json or not output.is_terminal:
        for letter in letters:
            print_json(_document(letter), compact=True)
        return
    if not letters:
        output.print("[green]✓[/] no dead letters")
        return
    rows = [
        (
            letter.sequence,
            _age(letter),
            letter.about("Service"),
            letter.about("Handler"),
            letter.about("Attempts"),
            letter.about("Error")[:ERROR_WIDTH_CHARACTERS],
        )
        for letter in letters
    ]
    print_table("", ("number", "ago", "service", "handler", "tries", "error"), rows)
    output.print("\n`show NUMBER` has the message, `retry NUMBER` sends it back.", style="dim")


@app.command()
def show(
    number: Annotated[int, typer.Argument(help="Number in the list.")],
    nats: NatsOption = None,
    endpoints: EndpointsOption = None,
) -> None:
    """Show one dead letter with its headers and its body."""
    [letter] = asyncio.run(_read_numbers(locate(nats, endpoints, "admin"), [number]))
    if not output.is_terminal:
        print_json(_document(letter))
        return
    output.print(f"[bold]Dead letter {letter.sequence}[/], {_age(letter)} ago", highlight=False)
    rows = [(name, value) for name, value in sorted(letter.headers.items())]
    print_table("", ("header", "value"), rows)
    output.print()
    print_json(letter.readable_body())


@app.command()
def retry(
    numbers: Annotated[list[int] | None, typer.Argument(help="Numbers in the list.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All of them (or of --service, --handler).")
    ] = False,
    service: Service = None,
    handler: Handler = None,
    nats: NatsOption = None,
    endpoints: EndpointsOption = None,
) -> None:
    """Send dead letters back to their original subjects, and remove them from the list.

    A letter is sent back only to a command, tick, event or webhook subject that the service which buried it
    consumes.
    """
    if bool(numbers) == everything:
        raise WrongUsage("Say which: numbers from the list, or --all.")
    if numbers and (service or handler):
        raise WrongUsage("Numbers say which; --service and --handler go with --all.")
    place = locate(nats, endpoints, "admin")
    letters = asyncio.run(
        _read_numbers(place, numbers) if numbers else _read_matching(place, service, handler)
    )
    failed = asyncio.run(_retry(place, letters))
    output.print(f"[green]✓[/] {len(letters) - failed} sent back", highlight=False)
    if failed:
        raise CommandFailed(f"{failed} could not be sent back and are still on the list")


async def _retry(place: Place, letters: list[DeadLetter]) -> int:
    failed = 0
    webhook_subject = os.environ.get("WEBHOOK_SUBJECT") or DEFAULT_WEBHOOK_SUBJECT
    async with place.connect() as client:
        for letter in letters:
            problem = await send_back(
                client.connection, letter, client.subjects, webhook_subject=webhook_subject
            )
            if problem:
                failed += 1
                errors.print(f"[red]✗[/] {letter.sequence}: {escape(problem)}", highlight=False)
    return failed


async def _read_numbers(place: Place, numbers: list[int]) -> list[DeadLetter]:
    async with place.connect() as client:
        letters = []
        for number in numbers:
            try:
                letter = await read_one(client.connection, number)
            except (nats.errors.TimeoutError, TimeoutError):
                raise _not_allowed(client) from None
            if letter is None:
                raise WrongUsage(
                    f"There is no dead letter {number}; `dead-letters list` says which there are."
                )
            letters.append(letter)
        return letters


async def _read_matching(place: Place, service: str | None, handler: str | None) -> list[DeadLetter]:
    async with place.connect() as client:
        return [
            letter
            async for letter in read_all(client.connection)
            if service in (None, letter.about("Service")) and handler in (None, letter.about("Handler"))
        ]


def _age(letter: DeadLetter) -> str:
    """Return how long ago the message was buried."""
    try:
        return ago(datetime.fromisoformat(letter.about("Failed-At")))
    except ValueError:
        return "?"


def _not_allowed(client: Client) -> CommandFailed:
    reason = f" ({client.connection.last_problem})" if client.connection.last_problem else ""
    return CommandFailed(
        f"This NATS user may not read the dead letters; use the user `admin`{escape(reason)}."
    )


def _document(letter: DeadLetter) -> dict[str, Any]:
    return {"number": letter.sequence, "headers": letter.headers, "body": letter.readable_body()}
