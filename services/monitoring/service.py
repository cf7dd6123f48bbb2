"""The service object that handlers register with."""

from services.monitoring.tables import Row
from shared.messaging.service import Service

FEED_BATCH_EVENTS = 256
"""Everything is followed in group commits, and a new installation has years of events to follow."""

service = Service("monitoring", metadata=Row.metadata, feed_batch=FEED_BATCH_EVENTS)
