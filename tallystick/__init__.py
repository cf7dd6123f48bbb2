"""Client package for other teams: message types, subjects, a client and a command line.

This package imports nothing from the workers (`services`, `shared`); it needs only pydantic, nats-py and the
CLI libraries.

    async with tallystick.connect("nats://client:password@localhost:7402") as billing:
        answer = await billing.ask(CheckEntitlement(customer=customer, feature="exports"))
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tallystick.client import *  # noqa: F403 - the client's public names are this package's
    from tallystick.client import __all__ as __all__


def __getattr__(name: str) -> Any:
    """Import the client at its first use, so that `tallystick.licensing` needs none of its libraries."""
    if name.startswith("_") and name != "__all__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    client = import_module("tallystick.client")
    # The import has made the modules of this package its attributes.
    return globals()[name] if name in globals() else getattr(client, name)
