"""The worker of this service: wiring only."""

from typing import Any

from services.consumables import handlers
from services.consumables.service import service
from shared.messaging.service_client import Asking
from shared.runtime.settings import Settings
from shared.runtime.worker import run

__all__ = ["handlers", "provide", "service"]


def provide(settings: Settings) -> list[Any]:
    """What handlers are given beside their message."""
    return [Asking(settings, service.name)]


if __name__ == "__main__":
    run(service, provide=provide)
