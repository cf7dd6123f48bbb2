"""The service object on which the handlers register."""

from services.consumables.tables.base import Row
from shared.messaging.service import Service

service = Service("consumables", metadata=Row.metadata)
