"""Usage that is reported after it happened."""

from datetime import datetime, timedelta

LATE_USAGE_DAYS = 35
"""As far back as Stripe's meters accept usage."""


def problem_of(occurred_at: datetime, now: datetime, days: int) -> str | None:
    """Return what is wrong with the time of a usage that is reported now; None: nothing."""
    if occurred_at > now:
        return "must not be in the future"
    if occurred_at < now - timedelta(days=days):
        return f"must be within the last {days} days"
    return None
