"""Client package for other teams: message types, subjects, a client and a command line.

This package imports nothing from the workers (`services`, `shared`); it needs only pydantic, nats-py and the
CLI libraries.

    async with tallystick.connect("nats://client:password@localhost:7402") as billing:
        answer = await billing.ask(CheckEntitlement(customer=customer, feature="exports"))
"""

from tallystick.client import *  # noqa: F403 - the client's public names are this package's
from tallystick.client import __all__ as __all__
