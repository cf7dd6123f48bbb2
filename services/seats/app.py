"""The worker of this service: wiring only."""

from typing import Any

from services.seats import handlers
from services.seats.invitations.tokens import Invitations
from services.seats.service import service
from shared.messaging.service_client import Asking
from shared.runtime.settings import Settings
from shared.runtime.worker import run

__all__ = ["handlers", "provide", "service"]


def provide(settings: Settings) -> list[Any]:
    """What handlers are given beside their message."""
    secret = settings.invitation_secret
    return [
        Invitations.of(secret.get_secret_value() if secret else None),
        Asking(settings, service.name),
    ]


if __name__ == "__main__":
    run(service, provide=provide)
