"""`request`, `send` and `messages`: any command or question, validated before it is sent."""

import asyncio
import json
from typing import Annotated, Any

import typer
from rich.markup import escape

from tallystick.cli.argument_parsing import build, find_message
from tallystick.cli.installation import EndpointsOption, NatsOption, Place, locate
from tallystick.cli.output import CommandFailed, WrongUsage, output, print_json, print_table
from tallystick.client.client import ASK_DEADLINE_SECONDS, CALL_DEADLINE_SECONDS
from tallystick.messages import COMMANDS, QUESTIONS
from tallystick.messages.base import Command, Outcome, Question, Request

Target = Annotated[
    str, typer.Argument(metavar="SERVICE.NAME", help="Message, such as subscriptions.get_catalog.")
]
Fields = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FIELD=VALUE]...",
        help="Fields: name=value (JSON or plain; a customer as organization_acme), a JSON object, or @FILE.",
        show_default=False,
    ),
]
Identifier = Annotated[
    str | None,
    typer.Option("--id", help="Command id; a command takes effect once per id.", show_default=False),
]


def request(
    target: Target,
    fields: Fields = None,
    command_id: Identifier = None,
    deadline: Annotated[
        float | None, typer.Option(help="Seconds to keep trying.", show_default=False)
    ] = None,
    nats: NatsOption = None,
    endpoints: EndpointsOption = None,
) -> None:
    """Send a command or question, wait for the outcome and print it.

    [dim]request subscriptions.check_entitlement customer=organization_acme feature=exports[/]
    """
    model, words = find_message(target, fields or [], commands_only=False)
    message = build(model, words, command_id)
    outcome = asyncio.run(_request(locate(nats, endpoints), message, deadline))
    print_json(json.loads(outcome.to_json()))
    if outcome.status == "rejected" and outcome.error is not None:
        reason = f": {escape(outcome.error.message)}" if outcome.error.message else ""
        raise CommandFailed(f"rejected: [bold]{escape(outcome.error.code)}[/]{reason}")


async def _request(place: Place, message: Request[Any], deadline: float | None) -> Outcome:
    async with place.connect() as client:
        if isinstance(message, Command):
            return await client.outcome(message, deadline_seconds=deadline or CALL_DEADLINE_SECONDS)
        assert isinstance(message, Question)
        return await client.answer(message, deadline_seconds=deadline or ASK_DEADLINE_SECONDS)


def send(
    target: Target,
    fields: Fields = None,
    command_id: Identifier = None,
    nats: NatsOption = None,
    endpoints: EndpointsOption = None,
) -> None:
    """Queue a command without waiting for its outcome.

    [dim]send subscriptions.cancel_subscription subscription_id=sub_01h at=period_end[/]
    """
    model, words = find_message(target, fields or [], commands_only=True)
    command = build(model, words, command_id)
    assert isinstance(command, Command)
    asyncio.run(_send(locate(nats, endpoints), command))


async def _send(place: Place, command: Command[Any]) -> None:
    async with place.connect() as client:
        queued = await client.send(command)
    if not output.is_terminal:
        print_json(
            {"command_id": queued.command_id, "sequence": queued.sequence, "duplicate": queued.duplicate}
        )
        return
    note = " (it was queued a moment ago already)" if queued.duplicate else ""
    name = f"{command.service}.{command.name}"
    output.print(
        f"[green]✓[/] {name} is queued as [bold]{escape(queued.command_id)}[/]{note}", highlight=False
    )


def describe(
    target: Annotated[
        str | None, typer.Argument(metavar="[SERVICE.NAME]", help="One message, with its fields.")
    ] = None,
) -> None:
    """List every command and question, or show the fields of one."""
    if target is None:
        listed = [
            (f"{service}.{name}", kind, (model.__doc__ or "").strip().splitlines()[0])
            for kind, registry in (("command", COMMANDS), ("question", QUESTIONS))
            for (service, name), model in sorted(registry.items())
        ]
        print_table("", ("message", "kind", "description"), listed)
        return
    model, words = find_message(target, [], commands_only=False)
    if words:
        raise WrongUsage("Name one message.")
    output.print(f"[bold]{model.service}.{model.name}[/]  {escape((model.__doc__ or '').strip())}\n")
    rows = []
    for name, info in model.model_fields.items():
        presence = "required" if info.is_required() else ""
        rows.append(
            (info.alias or name, presence, _describe_type(model, info.alias or name), info.description or "")
        )
    print_table("", ("field", "", "type", ""), rows)
    if model.rejections:
        output.print(f"\nMay be rejected with: {', '.join(model.rejections)}", highlight=False)


def _describe_type(model: type[Request[Any]], name: str) -> str:
    schema = model.model_json_schema()["properties"][name]
    variants = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    return " or ".join(_variant(each) for each in variants)


def _variant(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_variant(schema['items'])}"
    return str(schema.get("format", schema.get("type", "any JSON")))
