"""`doctor`: check the installation for what is unreachable, lagging or misconfigured, with advice."""

import asyncio

from rich.markup import escape

from tallystick.cli.checks import infrastructure, jetstream, services
from tallystick.cli.checks.findings import Finding, Level
from tallystick.cli.installation import EndpointsOption, NatsOption, Place, locate
from tallystick.cli.output import CommandFailed, output, print_json
from tallystick.client.connection import without_password
from tallystick.client.errors import TallystickError

_MARKS = {
    Level.GOOD: "[green]✓[/]",
    Level.ODD: "[yellow]![/]",
    Level.BROKEN: "[red]✗[/]",
    Level.UNKNOWN: "[dim]–[/]",
}
WHAT_WIDTH = 30


def doctor(nats: NatsOption = None, endpoints: EndpointsOption = None) -> None:
    """Check the installation; exit with 1 when something is broken.

    Most checks need the endpoints file of `./dev up`, or the NATS user `admin` or `monitor`.
    """
    place = locate(nats, endpoints)
    findings = asyncio.run(examine(place))
    broken = sum(finding.level is Level.BROKEN for finding in findings)
    odd = sum(finding.level is Level.ODD for finding in findings)
    if output.is_terminal:
        output.print(
            f"{escape(without_password(place.nats_url))}, found by {place.source}\n",
            style="dim",
            highlight=False,
        )
        for finding in findings:
            _show(finding)
        output.print()
    else:
        print_json([finding.document() for finding in findings])
    if broken:
        raise CommandFailed(f"{broken} broken" + (f", {odd} odd" if odd else ""))
    if output.is_terminal:
        output.print("[green]all well[/]" if not odd else f"[yellow]works, {odd} odd[/]")


def _show(finding: Finding) -> None:
    output.print(
        f"{_MARKS[finding.level]} {finding.what:<{WHAT_WIDTH}} {escape(finding.detail)}", highlight=False
    )
    if finding.advice:
        output.print(f"  {'':<{WHAT_WIDTH}} → {escape(finding.advice)}", style="yellow", highlight=False)


async def examine(place: Place) -> list[Finding]:
    """Run all checks, each layer after the ones it depends on."""
    try:
        async with place.connect(connect_timeout_seconds=3.0) as client:
            monitoring = place.as_user("admin") or place.as_user("monitor") or place
            async with monitoring.connect(connect_timeout_seconds=3.0) as monitor_client:
                return [
                    *await infrastructure.nats_server(client, place),
                    *await infrastructure.database(place),
                    *await jetstream.examine(monitor_client),
                    *await services.examine(client, place),
                ]
    except TallystickError as error:
        unreachable = Finding(Level.BROKEN, "NATS", str(error), "Everything needs it: `./dev up` starts one.")
        return [unreachable, *await infrastructure.database(place)]
