"""Payout schedules: how long earnings are held, and when the next payout is due."""

from datetime import datetime, timedelta

from tallystick.messages.payouts import Every

HOLD_DAYS = 7
"""How long a new seller's earnings are held: most refunds are asked for within a week."""
MONDAY = 0


def available_at(paid_at: datetime, hold_days: int) -> datetime:
    """Return when a share of an invoice paid at `paid_at` becomes available."""
    return paid_at + timedelta(days=hold_days)


def next_payout_at(every: Every, after: datetime) -> datetime | None:
    """Return the next payout after a time: midnight UTC, of Mondays, or of firsts; None for `manual`."""
    midnight = after.replace(hour=0, minute=0, second=0, microsecond=0)
    if every == "manual":
        return None
    if every == "month":
        return (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
    if every == "week":
        return midnight + timedelta(days=7 - (midnight.weekday() - MONDAY) % 7)
    return midnight + timedelta(days=1)
