"""The service object that handlers register with."""

from services.seats.tables import Row
from shared.messaging.service import Service

service = Service("seats", metadata=Row.metadata)
