"""The service object on which the handlers register."""

from services.webhooks.tables import Row
from shared.messaging.service import Service

service = Service("webhooks", metadata=Row.metadata)
