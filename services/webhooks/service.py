"""The service object that handlers register with."""

from services.webhooks.tables import Row
from shared.messaging.service import Service

service = Service("webhooks", metadata=Row.metadata)
