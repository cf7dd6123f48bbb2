"""`watch`: print the change feed, one line per event."""

import asyncio
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.text import Text

from tallystick.cli.installation import EndpointsOption, NatsOption, Place, locate
from tallystick.cli.output import WrongUsage, errors, output, print_json
from tallystick.cli.summaries import summary
from tallystick.cli.times import moment
from tallystick.client.feed_events import FeedEvent

ENTITY_WIDTH = 27
CUSTOMER_WIDTH = 26
"""Column widths that fit nearly all values, so that lines align."""
_COLOURS = {
    "created": "green",
    "activated": "green",
    "paid": "green",
    "recovered": "green",
    "canceled": "red",
    "expired": "red",
    "paymentFailed": "red",
    "pastDue": "red",
    "archived": "red",
    "voided": "red",
    "cancelScheduled": "yellow",
}


def watch(
    entity: Annotated[
        str, typer.Option(help="Only one kind: subscription, invoice, …", show_default=False)
    ] = "*",
    customer: Annotated[
        str, typer.Option(help="Only one customer's, such as organization_acme.", show_default=False)
    ] = "*",
    event: Annotated[str, typer.Option(help="Only one event: created, paid, …", show_default=False)] = "*",
    since: Annotated[
        str | None,
        typer.Option(help="Start in the past: a timestamp, 2h, 7d, or `all`.", show_default=False),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many events.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    nats: NatsOption = None,
    endpoints: EndpointsOption = None,
) -> None:
    """Follow the change feed until Ctrl-C."""
    place = locate(nats, endpoints)
    start: Any = "new" if since is None else "all" if since == "all" else moment(since)
    filters = {"entity": entity, "customer": customer, "event": event}
    asyncio.run(_watch(place, filters, start, limit, as_json))


async def _watch(place: Place, filters: dict[str, str], start: Any, limit: int | None, as_json: bool) -> None:
    async with place.connect() as client:
        try:
            feed = client.events(
                entity=filters["entity"],
                customer=filters["customer"],
                event=filters["event"],
                start=start,
                repeated="yield",
            )
        except ValueError:
            raise WrongUsage(
                f"{filters['customer']} is no customer; write user_7 or organization_acme."
            ) from None
        was_connected = True

        def print_connection_change() -> None:
            nonlocal was_connected
            connected = client.connection.connected
            if connected != was_connected and not client.connection.closed:
                errors.print(
                    "connected again" if connected else "the connection is lost; waiting …", style="yellow"
                )
            was_connected = connected

        async with feed:
            client.connection.listen(print_connection_change)
            if errors.is_terminal:
                errors.print("watching; Ctrl-C ends it", style="dim")
            shown = 0
            async for each in feed:
                show(each, as_json=as_json)
                shown += 1
                if shown == limit:
                    return


def show(event: FeedEvent, *, as_json: bool) -> None:
    """Print one event as one line."""
    if as_json:
        document = {"subject": event.subject, "sequence": event.sequence, "headers": dict(event.headers)}
        print_json({**document, "body": dict(event.body)}, compact=True)
        return
    if event.gap is not None:
        missing = event.gap.missing
        errors.print(
            f"  versions {missing[0]} to {missing[-1]} of {event.entity_key} are missing", style="yellow"
        )
    occurred_at = str(event.body.get("occurred_at", ""))
    line = Text()
    line.append(_local_time(occurred_at), style="dim")
    name = f"{event.entity}.{event.event}"
    line.append(f"  {name:<{ENTITY_WIDTH}}", style=_COLOURS.get(event.event, "cyan"))
    line.append(f" {event.customer:<{CUSTOMER_WIDTH}}")
    line.append(f" v{event.version:<3}", style="dim")
    line.append(f" {summary(event.entity, event.snapshot)}")
    if event.late:
        line.append("  (late)", style="yellow")
    # Cut lines on a narrow terminal, never in a pipe.
    if output.is_terminal:
        output.print(line, no_wrap=True, overflow="ellipsis", crop=True, highlight=False)
    else:
        output.print(line, soft_wrap=True, highlight=False)


def _local_time(occurred_at: str) -> str:
    """Return the local time of day, with the date unless it is today."""
    try:
        at = datetime.fromisoformat(occurred_at).astimezone()
    except ValueError:
        return occurred_at
    return f"{at:%H:%M:%S}" if at.date() == datetime.now(at.tzinfo).date() else f"{at:%Y-%m-%d %H:%M:%S}"
