"""The service object that handlers register with."""

from services.monitoring.tables import Row
from shared.messaging.service import Service

service = Service("monitoring", metadata=Row.metadata)
