"""The service object on which the handlers register."""

from services.subscriptions.tables.base import Row
from shared.messaging.service import Service

service = Service("subscriptions", metadata=Row.metadata)
