"""When a delivery is tried again, and when an endpoint is given up."""

from datetime import datetime, timedelta

RETRY_DELAYS = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
"""Pauses after each failed attempt, as Standard Webhooks proposes."""
DISABLE_AFTER = timedelta(days=5)
"""An endpoint that has failed for this long, without a success in between, is disabled."""
GONE = 410
"""The status by which an endpoint asks for nothing more."""


def is_success(status: int) -> bool:
    """Whether an HTTP status means that the endpoint has the event; a redirect does not."""
    return 200 <= status < 300


def retry_at(now: datetime, attempts: int) -> datetime | None:
    """Return when a delivery is tried again after `attempts` failed attempts; None: not any more."""
    return now + RETRY_DELAYS[attempts - 1] if attempts <= len(RETRY_DELAYS) else None


def is_given_up(failing_since: datetime | None, now: datetime, status: int | None) -> bool:
    """Whether an endpoint that has just failed is disabled."""
    return status == GONE or (failing_since is not None and now - failing_since >= DISABLE_AFTER)
