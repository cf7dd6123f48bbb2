"""All settings of all workers and of provisioning."""

from services.consumables.settings import ConsumablesSettings
from services.gateway.settings import GatewaySettings
from services.licenses.settings import LicensesSettings
from services.monitoring.settings import MonitoringSettings
from services.notifications.settings import NotificationsSettings
from services.payouts.settings import PayoutsSettings
from services.seats.settings import SeatsSettings
from services.subscriptions.settings import SubscriptionsSettings
from services.webhooks.settings import WebhooksSettings
from shared.operations.provision import ProvisionSettings
from shared.settings import Settings

CLASSES = (
    Settings,
    ProvisionSettings,
    ConsumablesSettings,
    MonitoringSettings,
    PayoutsSettings,
    LicensesSettings,
    SeatsSettings,
    SubscriptionsSettings,
    WebhooksSettings,
    GatewaySettings,
    NotificationsSettings,
)


def setting_names() -> set[str]:
    """The environment variables that are read as settings."""
    return {name.upper() for settings in CLASSES for name in settings.model_fields}
