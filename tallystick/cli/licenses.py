"""`licenses`: export the public keys, issue a license, list and show licenses."""

import asyncio
import uuid
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import typer
from pydantic import BaseModel, ValidationError
from rich.markup import escape

from tallystick.cli.argument_parsing import show_problems
from tallystick.cli.installation import EndpointsOption, NatsOption, Place, locate
from tallystick.cli.output import CommandFailed, WrongUsage, output, print_json, print_table
from tallystick.client.errors import Rejected
from tallystick.licensing import LicenseKeyError, key_set_key, normalize_key
from tallystick.messages import licenses as m
from tallystick.messages.base import Command, Customer, Request

app = typer.Typer(help="Licenses: issue, list and show them, export the public keys.", no_args_is_help=True)

Result = TypeVar("Result", bound=BaseModel)
JsonOption = Annotated[bool, typer.Option("--json", help="The whole answer as JSON.")]


@app.command()
def keys(nats: NatsOption = None, endpoints: EndpointsOption = None) -> None:
    """Print the public signing keys as a JSON Web Key Set, to be shipped with the licensed product."""
    found = _ask(locate(nats, endpoints), m.ListSigningKeys())
    now = datetime.now(UTC)
    good = [key for key in found.keys if key.expires_at is None or key.expires_at > now]
    print_json({"keys": [key_set_key(key.x, expires_at=key.expires_at) for key in good]})


@app.command()
def issue(
    customer: Annotated[str, typer.Argument(help="Such as organization_acme.", show_default=False)],
    product: Annotated[str, typer.Argument(help="The product's code.", show_default=False)],
    seats: Annotated[int | None, typer.Option(help="Seats; not limited if absent.")] = None,
    instances: Annotated[int | None, typer.Option(help="Machines at a time; as the product says.")] = None,
    expires_at: Annotated[datetime | None, typer.Option(help="When it ends (UTC); never if absent.")] = None,
    nats: NatsOption = None,
    endpoints: EndpointsOption = None,
) -> None:
    """Issue a license by hand. Its key is printed here and never again."""
    fields: dict[str, Any] = {"seats": seats, "instances": instances}
    fields["expires_at"] = expires_at.replace(tzinfo=UTC) if expires_at else None
    given = {name: value for name, value in fields.items() if value is not None}
    command_id = f"cli-{uuid.uuid4().hex}"
    try:
        command = m.IssueLicense(
            command_id=command_id, customer=Customer.from_token(customer), product=product, **given
        )
    except ValidationError as error:
        show_problems(m.IssueLicense, error)
        raise WrongUsage("Nothing was sent.") from None
    issued = _ask(locate(nats, endpoints), command)
    if not output.is_terminal:
        print_json(issued.model_dump(mode="json"))
        return
    output.print(f"[green]✓[/] {issued.license.license_id}, with the key, which is shown here alone:")
    output.print(issued.license_key, style="bold", highlight=False)


@app.command(name="list")
def list_licenses(
    customer: Annotated[str | None, typer.Option(help="Such as organization_acme.")] = None,
    status: Annotated[str | None, typer.Option(help="active, suspended, expired or revoked.")] = None,
    search: Annotated[str | None, typer.Option(help="An id, a product, a machine or a key hint.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    as_json: JsonOption = False,
    nats: NatsOption = None,
    endpoints: EndpointsOption = None,
) -> None:
    """List licenses, newest first."""
    try:
        question = m.ListLicenses.model_validate(
            {
                "customer": Customer.from_token(customer) if customer else None,
                "status": status,
                "search": search,
                "limit": limit,
            }
        )
    except ValidationError as error:
        show_problems(m.ListLicenses, error)
        raise WrongUsage("Nothing was asked.") from None
    page = _ask(locate(nats, endpoints), question)
    if as_json or not output.is_terminal:
        print_json(page.model_dump(mode="json"))
        return
    columns = ("license", "customer", "product", "status", "seats", "machines", "key")
    print_table("", columns, [_row(one) for one in page.items])


@app.command()
def show(
    wanted: Annotated[
        str, typer.Argument(help="A license id, a subscription id or a key.", show_default=False)
    ],
    as_json: JsonOption = False,
    nats: NatsOption = None,
    endpoints: EndpointsOption = None,
) -> None:
    """Show one license with its machines."""
    found = _ask(locate(nats, endpoints), _question_about(wanted)).license
    if as_json or not output.is_terminal:
        print_json(found.model_dump(mode="json"))
        return
    ends = found.expires_at.date().isoformat() if found.expires_at else "open"
    print_table("", ("license", "customer", "product", "status", "seats", "machines", "key"), [_row(found)])
    output.print(f"ends: {ends} · offline: {found.offline_days} d · grace: {found.grace_days} d")
    rows = [
        (one.instance_id, one.name or "", one.refreshed_at.isoformat(timespec="minutes"), one.members or "")
        for one in found.activations
    ]
    print_table("", ("machine", "name", "refreshed", "members"), rows)


def _question_about(wanted: str) -> m.GetLicense:
    try:
        if wanted.startswith("lic_"):
            return m.GetLicense(license_id=wanted)
        if wanted.startswith("sub_"):
            return m.GetLicense(subscription_id=wanted)
        return m.GetLicense(license_key=normalize_key(wanted))
    except LicenseKeyError as error:
        raise WrongUsage(f"{escape(str(error))}.") from None
    except ValidationError as error:
        show_problems(m.GetLicense, error)
        raise WrongUsage("Nothing was asked.") from None


def _row(found: m.LicenseSnapshot) -> tuple[object, ...]:
    machines = f"{len(found.activations)}/{found.instances}"
    seats = found.seats or "unlimited"
    return (
        found.license_id,
        found.customer.token,
        found.product,
        found.status,
        seats,
        machines,
        f"…{found.key_hint}",
    )


def _ask(place: Place, message: Request[Result]) -> Result:
    async def ask() -> Any:
        async with place.connect() as client:
            return await (client.call(message) if isinstance(message, Command) else client.ask(message))  # type: ignore[arg-type]

    try:
        found: Result = asyncio.run(ask())
    except Rejected as rejection:
        raise CommandFailed(f"[bold]{rejection.code}[/] {escape(rejection.message)}") from None
    return found
