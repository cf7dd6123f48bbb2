"""The service object that handlers register with."""

from services.notifications.tables import Row
from shared.messaging.service import Service

service = Service("notifications", metadata=Row.metadata)
