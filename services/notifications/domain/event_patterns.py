"""Which events an endpoint gets."""

from collections.abc import Sequence


def matches(patterns: Sequence[str], event_type: str) -> bool:
    """Whether one of the patterns covers an event such as `invoice.paid`."""
    entity = event_type.partition(".")[0]
    return any(pattern in ("*", event_type, f"{entity}.*") for pattern in patterns)
