"""The worker of this service: wiring only."""

from services.consumables import handlers
from services.consumables.service import service
from shared.worker import run

__all__ = ["handlers", "service"]

if __name__ == "__main__":
    run(service)
