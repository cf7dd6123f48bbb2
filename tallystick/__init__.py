"""Tallystick for other teams: message types, subjects, a client and a command line.

Nothing in this package knows how the workers are built; it imports neither them nor their plumbing.

    async with tallystick.connect("nats://client:password@localhost:7402") as billing:
        answer = await billing.ask(CheckEntitlement(customer=customer, feature="exports"))
"""

from tallystick.client import *  # noqa: F403 - the client's public names are this package's
from tallystick.client import __all__ as __all__
