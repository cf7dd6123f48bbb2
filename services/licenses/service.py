"""The service object that handlers register with."""

from services.licenses.tables import Row
from shared.messaging.service import Service

service = Service("licenses", metadata=Row.metadata)
