"""Location of the installation: from the command line, else NATS_URL, else the file of `./dev up`."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from tallystick.cli.output import WrongUsage
from tallystick.client import Client, connect
from tallystick.subjects import DEFAULT_PREFIX

ENDPOINTS = Path(".tallystick") / "endpoints.json"

NatsOption = Annotated[
    str | None,
    typer.Option("--nats", help="URL of NATS, with user and password.", show_default=False),
]
EndpointsOption = Annotated[
    Path | None,
    typer.Option(
        "--endpoints",
        help=f"Endpoints file written by `./dev up` ({ENDPOINTS}).",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True)
class Place:
    """Address of an installation and where it was configured."""

    nats_url: str
    source: str
    prefix: str
    endpoints: dict[str, Any] = field(default_factory=dict)
    """Contents of the endpoints file; empty when another source gave the URL."""

    def connect(self, **options: Any) -> Client:
        """Return a client for the installation."""
        return connect(self.nats_url, self.prefix, name="tallystick command line", **options)

    def as_user(self, user: str) -> "Place | None":
        """Return the same installation for another NATS user; None if the endpoints file has none."""
        url = self.endpoints.get("nats_users", {}).get(user)
        return Place(url, self.source, self.prefix, self.endpoints) if url else None


def locate(nats: str | None, endpoints: Path | None, user: str = "client") -> Place:
    """Find the installation, as `user` if the endpoints file lists several users; raises WrongUsage."""
    prefix = os.environ.get("SUBJECT_PREFIX") or DEFAULT_PREFIX
    if nats:
        return Place(nats, "--nats", prefix)
    if endpoints is None and os.environ.get("NATS_URL"):
        return Place(os.environ["NATS_URL"], "NATS_URL", prefix)
    path = endpoints or ENDPOINTS
    try:
        document = json.loads(path.read_text())
        url = document.get("nats_users", {}).get(user) or document["nats"]
    except FileNotFoundError:
        if endpoints is not None:
            raise WrongUsage(
                f"There is no {path}; `./dev up` writes it, and removes it when it stops."
            ) from None
        raise WrongUsage(
            f"Where is NATS? There is no {path} (run `./dev up` here), and NATS_URL is not set."
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WrongUsage(f"{path} does not say where NATS is: {error!r}") from None
    return Place(url, str(path), prefix, document)
