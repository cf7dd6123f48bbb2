"""The Prometheus metrics of a worker."""

from prometheus_client import Counter, Gauge, Histogram

DURATION_BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
GROUP_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)

HANDLED = Counter(
    "tallystick_handled_total",
    "Messages handled, by what became of them.",
    ["service", "handler", "outcome"],
)
"""`outcome`: succeeded, rejected, failed (may be tried again), retried, dead_lettered."""
DURATION = Histogram(
    "tallystick_handling_seconds",
    "From taking a message up to its reply or acknowledgement.",
    ["service", "handler"],
    buckets=DURATION_BUCKETS_SECONDS,
)
GROUP_SIZE = Histogram(
    "tallystick_group_commit_items",
    "Items that shared one commit.",
    ["service", "group"],
    buckets=GROUP_BUCKETS,
)
OUTBOX_LAG = Gauge(
    "tallystick_outbox_lag_seconds", "Age of the oldest committed row that is not published.", ["service"]
)
OUTBOX_PUBLISHED = Counter("tallystick_outbox_published_total", "Outbox rows published.", ["service"])
CONSUMER_LAG = Gauge(
    "tallystick_consumer_pending_messages",
    "Messages a durable consumer has not acknowledged yet.",
    ["service", "consumer"],
)
UNFINISHED = Gauge(
    "tallystick_external_unfinished", "External commands whose outcome is overdue.", ["service"]
)
COMPONENT_UP = Gauge(
    "tallystick_component_up",
    "1 if what a worker needs is there: `database`, `nats` and each of its durable consumers.",
    ["service", "component"],
)
