"""The worker of this service: wiring only."""

from typing import Any

from services.subscriptions import handlers
from services.subscriptions.catalog import handlers as catalog_handlers
from services.subscriptions.checkout.start_checkout import Trials
from services.subscriptions.dunning.grace import Dunning
from services.subscriptions.lifecycle.seat_quota import TeamRoom
from services.subscriptions.service import service
from services.subscriptions.stripe.client import StripeGateway
from shared.messaging.service_client import Asking
from shared.runtime.settings import Settings
from shared.runtime.worker import run

__all__ = ["catalog_handlers", "handlers", "provide", "service"]


def provide(settings: Settings) -> list[Any]:
    """What handlers are given beside their message."""
    key = settings.stripe_secret_key
    asking = Asking(settings, service.name)
    return [
        asking,
        TeamRoom(asking),
        StripeGateway(key.get_secret_value() if key else None, settings.stripe_api_base),
        Trials(settings.stripe_trial_days),
        Dunning(settings.grace_days, settings.dunning_end_state),
    ]


if __name__ == "__main__":
    run(service, provide=provide)
