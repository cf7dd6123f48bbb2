"""Finds the installation: what the command line says, then NATS_URL, then what `./dev up` wrote down."""

import json
import os
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from tallystick.cli.output import WrongUsage
from tallystick.client import Client, connect
from tallystick.subjects import DEFAULT_PREFIX

Done = TypeVar("Done")
Work = Coroutine[Any, Any, Done]

ENDPOINTS = Path(".tallystick") / "endpoints.json"

NatsOption = Annotated[
    str | None,
    typer.Option("--nats", help="URL of NATS, with user and password.", show_default=False),
]
EndpointsOption = Annotated[
    Path | None,
    typer.Option(
        "--endpoints",
        help=f"File in which `./dev up` says what runs where ({ENDPOINTS}).",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the installation is, and how that is known."""

    nats_url: str
    source: str
    prefix: str
    endpoints: dict[str, Any] = field(default_factory=dict)
    """The contents of the endpoints file; empty where NATS was named otherwise."""

    def connect(self, **options: Any) -> Client:
        """A client of it."""
        return connect(self.nats_url, self.prefix, name="tallystick command line", **options)

    def as_user(self, user: str) -> "Place | None":
        """The same installation for another NATS user, where the endpoints file knows one."""
        url = self.endpoints.get("nats_users", {}).get(user)
        return Place(url, self.source, self.prefix, self.endpoints) if url else None


def locate(nats: str | None, endpoints: Path | None, user: str = "client") -> Place:
    """Where to connect to, as `user` where there is a choice; raises WrongUsage when nothing says where."""
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
