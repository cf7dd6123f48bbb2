"""`dead-letters`: what failed for good, why, and sending it back once the reason is gone."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import nats.errors
import typer
from nats.aio.msg import Msg
from nats.js import JetStreamContext, api
from nats.js.errors import NotFoundError
from rich.markup import escape

from tallystick.cli.location import EndpointsOption, NatsOption, Place, locate
from tallystick.cli.output import CommandFailed, WrongUsage, errors, output, print_json, print_table
from tallystick.cli.times import ago
from tallystick.client import Client
from tallystick.client.pulling import PullReader
from tallystick.subjects import DEAD_LETTERS_STREAM

READ_BATCH = 100
ERROR_WIDTH_CHARACTERS = 120
"""How much of an error a list shows; `show` has all of it."""
PUBLISH_TIMEOUT_SECONDS = 5.0
ORIGIN_PREFIX = "Billing-"
OWN_HEADERS = ("Nats-Msg-Id", "Nats-Expected-Stream")

app = typer.Typer(help="What failed for good: list it, look at it, send it back.", no_args_is_help=True)

Service = Annotated[str | None, typer.Option(help="Only of one service.", show_default=False)]
Handler = Annotated[str | None, typer.Option(help="Only of one handler.", show_default=False)]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that failed for good."""

    sequence: int
    headers: dict[str, str]
    body: bytes

    def about(self, name: str) -> str:
        """What was noted when it was given up: `Origin-Subject`, `Service`, `Handler`, `Attempts`, `Error`.

        …
        """
        return self.headers.get(f"{ORIGIN_PREFIX}{name}", "")

    @property
    def failed(self) -> str:
        """How long ago it was given up."""
        try:
            return ago(datetime.fromisoformat(self.about("Failed-At")))
        except ValueError:
            return "?"

    def original_headers(self) -> dict[str, str]:
        """The headers the message had, to send it again under a new message id."""
        noted = {
            f"{ORIGIN_PREFIX}{name}"
            for name in (
                "Origin-Subject",
                "Origin-Stream",
                "Service",
                "Handler",
                "Attempts",
                "Error",
                "Failed-At",
            )
        }
        kept = {k: v for k, v in self.headers.items() if k not in noted and k not in OWN_HEADERS}
        # Given twice by an impatient operator, it is stored once.
        return {**kept, "Nats-Msg-Id": f"dead-letter-{self.sequence}-{self.about('Failed-At')}"}


@app.command("list")
def list_letters(
    service: Service = None,
    handler: Handler = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    nats: NatsOption = None,
    endpoints: EndpointsOption = None,
) -> None:
    """List the dead letters, oldest first."""
    letters = asyncio.run(_collect(locate(nats, endpoints, "admin"), service, handler))
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
            letter.failed,
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
    number: Annotated[int, typer.Argument(help="As the list says.")],
    nats: NatsOption = None,
    endpoints: EndpointsOption = None,
) -> None:
    """Show one dead letter with its headers and its body."""
    [letter] = asyncio.run(_pick(locate(nats, endpoints, "admin"), [number]))
    if not output.is_terminal:
        print_json(_document(letter))
        return
    output.print(f"[bold]Dead letter {letter.sequence}[/], {letter.failed} ago", highlight=False)
    rows = [(name, value) for name, value in sorted(letter.headers.items())]
    print_table("", ("header", "value"), rows)
    output.print()
    print_json(_readable(letter.body))


@app.command()
def retry(
    numbers: Annotated[list[int] | None, typer.Argument(help="Which ones, as the list says.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All of them (or of --service, --handler).")
    ] = False,
    service: Service = None,
    handler: Handler = None,
    nats: NatsOption = None,
    endpoints: EndpointsOption = None,
) -> None:
    """Send dead letters back to where they came from, and take them off the list."""
    if bool(numbers) == everything:
        raise WrongUsage("Say which: numbers from the list, or --all.")
    place = locate(nats, endpoints, "admin")
    letters = asyncio.run(_pick(place, numbers) if numbers else _collect(place, service, handler))
    failed = asyncio.run(_retry(place, letters))
    output.print(f"[green]✓[/] {len(letters) - failed} sent back", highlight=False)
    if failed:
        raise CommandFailed(f"{failed} could not be sent back and are still on the list")


async def _retry(place: Place, letters: list[DeadLetter]) -> int:
    failed = 0
    async with place.connect() as client:
        jetstream = client.connection.jetstream()
        for letter in letters:
            problem = await _send_back(jetstream, letter)
            if problem:
                failed += 1
                errors.print(f"[red]✗[/] {letter.sequence}: {escape(problem)}", highlight=False)
    return failed


async def _send_back(jetstream: JetStreamContext, letter: DeadLetter) -> str | None:
    """Publish first and delete second: in between a crash leaves it twice, never not at all."""
    subject = letter.about("Origin-Subject")
    if not subject:
        return "it does not say where it came from"
    try:
        await jetstream.publish(
            subject, letter.body, headers=letter.original_headers(), timeout=PUBLISH_TIMEOUT_SECONDS
        )
        await jetstream.delete_msg(DEAD_LETTERS_STREAM, letter.sequence)
    except (nats.errors.Error, TimeoutError) as error:
        return str(error)
    return None


async def _pick(place: Place, numbers: list[int]) -> list[DeadLetter]:
    async with place.connect() as client:
        jetstream = client.connection.jetstream()
        letters = []
        for number in numbers:
            try:
                raw = await jetstream.get_msg(DEAD_LETTERS_STREAM, seq=number)
            except NotFoundError:
                raise WrongUsage(
                    f"There is no dead letter {number}; `dead-letters list` says which there are."
                ) from None
            except (nats.errors.TimeoutError, TimeoutError):
                raise _not_allowed(client) from None
            letters.append(DeadLetter(number, dict(raw.headers or {}), raw.data or b""))
        return letters


async def _collect(place: Place, service: str | None, handler: str | None) -> list[DeadLetter]:
    async with place.connect() as client:
        return [
            letter
            async for letter in _all(client)
            if service in (None, letter.about("Service")) and handler in (None, letter.about("Handler"))
        ]


async def _all(client: Client) -> AsyncIterator[DeadLetter]:
    reader = PullReader(client.connection, DEAD_LETTERS_STREAM, batch_size=READ_BATCH)
    await reader.start(
        api.ConsumerConfig(ack_policy=api.AckPolicy.NONE, mem_storage=True, inactive_threshold=30.0)
    )
    try:
        while reader.pending:
            for message in await reader.batch():
                yield _letter(message)
    finally:
        await reader.close()


def _letter(message: Msg) -> DeadLetter:
    return DeadLetter(message.metadata.sequence.stream, dict(message.headers or {}), message.data)


def _not_allowed(client: Client) -> CommandFailed:
    said = f" ({client.connection.last_problem})" if client.connection.last_problem else ""
    return CommandFailed(f"This NATS user may not read the dead letters; use the user `admin`{escape(said)}.")


def _document(letter: DeadLetter) -> dict[str, Any]:
    return {"number": letter.sequence, "headers": letter.headers, "body": _readable(letter.body)}


def _readable(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
