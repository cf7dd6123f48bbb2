"""The service object on which the handlers register."""

from services.seats.tables import Row
from shared.messaging.service import Service

service = Service("seats", metadata=Row.metadata)
