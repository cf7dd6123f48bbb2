"""The clock: read when a message is received, and passed on to handlers as `now`."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the current time in UTC, timezone-aware."""
    return datetime.now(UTC)
