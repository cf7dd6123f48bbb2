"""`replay`: publish stored Stripe events again, for example after a bug kept some from being applied."""

import asyncio
import uuid
from datetime import UTC, datetime
from typing import Annotated

import typer

from tallystick.cli.installation import EndpointsOption, NatsOption, Place, locate
from tallystick.cli.output import CommandFailed, WrongUsage, output
from tallystick.cli.times import moment
from tallystick.client.errors import CommandRejected
from tallystick.messages.webhooks import REPLAY_MAX_EVENTS, Replay


def replay(
    stripe_events: Annotated[
        bool, typer.Option("--stripe-events", help="Stored Stripe events, to the services that apply them.")
    ] = False,
    event: Annotated[
        list[str] | None, typer.Option(help="One event, `evt_…`; may be repeated.", show_default=False)
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Received at or after: a timestamp, 2h, 7d.", show_default=False)
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Received before; by default now.", show_default=False)
    ] = None,
    types: Annotated[
        list[str] | None,
        typer.Option("--type", help="Only this Stripe event type; may be repeated.", show_default=False),
    ] = None,
    nats: NatsOption = None,
    endpoints: EndpointsOption = None,
) -> None:
    """Publish stored Stripe events again: the named ones, or those received in a time range.

    The change feed itself is rebuilt from the tables with `./dev replay`, as the database owner.
    """
    if not stripe_events:
        raise WrongUsage(
            "Say `--stripe-events` to publish stored Stripe events again. The change feed is rebuilt from "
            "the tables with `./dev replay`, or `python -m shared.operations.replay` where the workers run."
        )
    if bool(event) == bool(since):
        raise WrongUsage("Say which: `--event evt_…`, repeated, or `--since 2h` (and `--until`).")
    if event and (until or types):
        raise WrongUsage("Events are named or of a span of time: --until and --type go with --since.")
    if event and len(event) > REPLAY_MAX_EVENTS:
        raise WrongUsage(f"At most {REPLAY_MAX_EVENTS} events by name; take a span of time instead.")
    command = Replay.model_validate(
        {"command_id": f"cli-{uuid.uuid4().hex}", "event_ids": event}
        if event
        else {
            "command_id": f"cli-{uuid.uuid4().hex}",
            "since": moment(since or ""),
            "until": moment(until) if until else datetime.now(UTC),
            "types": types or None,
        }
    )
    asyncio.run(_replay(locate(nats, endpoints), command))


async def _replay(place: Place, command: Replay) -> None:
    async with place.connect() as client:
        try:
            result = await client.call(command)
        except CommandRejected as rejected:
            raise CommandFailed(f"{rejected.code}: {rejected.message}") from None
    output.print(f"[green]✓[/] {result.replayed} Stripe events are published again", highlight=False)
