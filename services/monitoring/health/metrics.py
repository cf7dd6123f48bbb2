"""Prometheus metrics of what no worker knows by itself: streams, dead letters and the database."""

from prometheus_client import Gauge

from services.monitoring.health.vitals import Vitals

STREAM_BYTES = Gauge("tallystick_stream_bytes", "Bytes in a stream.", ["stream"])
STREAM_MAX_BYTES = Gauge(
    "tallystick_stream_max_bytes", "Bytes that a stream may hold, if it is limited.", ["stream"]
)
DEAD_LETTERS = Gauge(
    "tallystick_dead_letters", "Messages that failed for good and that nobody has sent back.", ["service"]
)
DATABASE_BYTES = Gauge("tallystick_database_bytes", "Size of the database.")
DATABASE_CONNECTIONS = Gauge("tallystick_database_connections", "Connections to the database.")
DATABASE_MAX_CONNECTIONS = Gauge(
    "tallystick_database_max_connections", "Connections that Postgres accepts (`max_connections`)."
)


def publish(vitals: Vitals) -> None:
    """Set the metrics to what was measured last; a minute old at most."""
    for info in vitals.jetstream.streams:
        name, limit = info.config.name or "", info.config.max_bytes or 0
        STREAM_BYTES.labels(name).set(info.state.bytes)
        if limit > 0:
            STREAM_MAX_BYTES.labels(name).set(limit)
    for each in vitals.services():
        DEAD_LETTERS.labels(each.service).set(each.dead_letters)
    DATABASE_BYTES.set(vitals.database.bytes)
    DATABASE_CONNECTIONS.set(vitals.database.connections)
    DATABASE_MAX_CONNECTIONS.set(vitals.database.max_connections)
