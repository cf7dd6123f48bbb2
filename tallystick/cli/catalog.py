"""`catalog`: apply a catalog file, and show the catalog."""

import asyncio
import hashlib
import json
import uuid
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.markup import escape

from tallystick.cli.argument_parsing import read_yaml, show_problems
from tallystick.cli.installation import EndpointsOption, NatsOption, Place, locate
from tallystick.cli.output import CommandFailed, WrongUsage, errors, output, print_json, print_table
from tallystick.cli.summaries import price_in_words
from tallystick.client.errors import CommandRejected
from tallystick.messages.catalog import ApplyCatalog, Catalog, CatalogApplied, CodeChanges, GetCatalog

APPLY_DEADLINE_SECONDS = 120.0
"""The first application creates every product and price in Stripe, a few per second."""

app = typer.Typer(help="The catalog: apply a file, or show what is on sale.", no_args_is_help=True)


@app.command()
def apply(
    file: Annotated[Path, typer.Argument(help="The catalog, as YAML.", show_default=False)],
    nats: NatsOption = None,
    endpoints: EndpointsOption = None,
) -> None:
    """Apply a catalog file, all or nothing. Applying the same file again changes nothing."""
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise WrongUsage(f"{escape(str(file))} cannot be read: {error}") from None
    document = read_yaml(text, str(file))
    if not isinstance(document, dict):
        raise WrongUsage(f"{escape(str(file))} is no catalog: it has no `products:`.")
    # The digest shows in the audit trail which content was applied. The random part is needed because a
    # catalog that is applied, changed and then applied again in its first form must take effect again.
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]
    try:
        command = ApplyCatalog(command_id=f"catalog-{digest}-{uuid.uuid4().hex[:12]}", catalog=document)
    except ValidationError as error:
        show_problems(ApplyCatalog, error)
        raise WrongUsage("Nothing was sent.") from None
    place = locate(nats, endpoints)
    try:
        with errors.status(f"applying {escape(str(file))} …"):
            applied = asyncio.run(_apply(place, command))
    except CommandRejected as rejected:
        _show_problems(rejected)
        raise CommandFailed(f"{escape(str(file))} was not applied; nothing has changed.") from None
    _show_changes(applied)


async def _apply(place: Place, command: ApplyCatalog) -> CatalogApplied:
    async with place.connect() as client:
        return await client.call(command, deadline_seconds=APPLY_DEADLINE_SECONDS)


def _show_problems(rejected: CommandRejected) -> None:
    errors.print(f"[red]✗[/] [bold]{rejected.code}[/] {escape(rejected.message)}", highlight=False)
    if isinstance(rejected.details, list):
        problems = [each for each in rejected.details if isinstance(each, dict)]
        rows = [(each.get("path", ""), each.get("problem") or _money_problem(each)) for each in problems]
        print_table("", ("where", "what is wrong"), rows, to=errors)


def _money_problem(problem: dict[str, Any]) -> str:
    fields = ", ".join(str(field) for field in problem.get("fields", []))
    return f"{fields} of {problem.get('price')} cannot change; a new price needs a new code"


def _show_changes(applied: CatalogApplied) -> None:
    if not output.is_terminal:
        print_json(applied.model_dump(mode="json"))
        return
    rows = []
    for kind in ("features", "products", "prices"):
        changes: CodeChanges = getattr(applied.changes, kind)
        for change in ("created", "updated", "archived"):
            codes: list[str] = getattr(changes, change)
            if codes:
                rows.append((kind, change, len(codes), ", ".join(codes)))
    if rows:
        output.print("[green]✓[/] applied")
        print_table("", ("", "", "", "codes"), rows)
    else:
        output.print("[green]✓[/] the catalog says this already; nothing has changed")


@app.command()
def show(
    archived: Annotated[bool, typer.Option("--archived", help="Include what is no longer sold.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The whole answer as JSON.")] = False,
    nats: NatsOption = None,
    endpoints: EndpointsOption = None,
) -> None:
    """Show the current catalog."""
    catalog = asyncio.run(_ask(locate(nats, endpoints), GetCatalog(include_archived=archived)))
    if as_json or not output.is_terminal:
        print_json(catalog.model_dump(mode="json"))
        return
    if not catalog.products and not catalog.features:
        output.print("The catalog is empty. `catalog apply FILE` fills it.")
        return
    rows = []
    for product in catalog.products:
        name = f"{product.code}{' (archived)' if product.archived else ''}"
        features = ", ".join(
            feature.feature
            + (f" × {feature.quantity}" if feature.quantity is not None else "")
            + (f" a {feature.every}" if feature.every else "")
            for feature in product.features
        )
        for number, price in enumerate(product.prices or [None]):
            code = "" if price is None else f"{price.code}{' (archived)' if price.archived else ''}"
            description = "" if price is None else price_in_words(price.model_dump())
            rows.append(
                (
                    "" if number else name,
                    "" if number else product.kind,
                    code,
                    description,
                    "" if number else features,
                )
            )
    print_table("", ("product", "kind", "price", "", "features"), rows)
    output.print()
    print_table(
        "", ("feature", "kind", "name"), [(each.code, each.kind, each.name) for each in catalog.features]
    )


async def _ask(place: Place, question: GetCatalog) -> Catalog:
    async with place.connect() as client:
        return (await client.ask(question)).catalog
