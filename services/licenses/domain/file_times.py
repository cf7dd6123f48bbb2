"""For how long a license file is good, and what a license is worth at a moment."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from tallystick.messages.licenses import Validity

REMINDER_DAYS = (14, 7, 1)
"""How many days before its end a license is reminded of."""


@dataclass(frozen=True, slots=True)
class FileTimes:
    """The times of one license file."""

    not_after: datetime
    grace_until: datetime


def file_times(
    now: datetime, *, offline_days: int, grace_days: int, expires_at: datetime | None
) -> FileTimes:
    """Return the times of a file that is issued now: it never outlasts the license, except for the grace."""
    not_after = now + timedelta(days=offline_days)
    if expires_at is not None:
        not_after = min(not_after, expires_at)
    return FileTimes(not_after, not_after + timedelta(days=grace_days))


@dataclass(frozen=True, slots=True)
class LicenseState:
    """What decides what a license is worth."""

    status: Literal["active", "suspended", "expired", "revoked"]
    expires_at: datetime | None
    ended_at: datetime | None
    grace_days: int
    offline_days: int
    is_activated: bool


def validity_at(now: datetime, state: LicenseState) -> tuple[Validity, datetime | None]:
    """Return what a license is worth for a machine, and until when as far as is known.

    A license that has ended is in `grace` for as long as the files that it issued let the product run.
    """
    if state.status == "revoked":
        return "revoked", None
    if state.status == "suspended":
        return "suspended", None
    end = state.ended_at or state.expires_at
    if end is not None and end <= now:
        grace_until = end + timedelta(days=state.grace_days)
        if state.is_activated and now < grace_until:
            return "grace", grace_until
        return "expired", grace_until
    if not state.is_activated:
        return "not_activated", None
    times = file_times(
        now, offline_days=state.offline_days, grace_days=state.grace_days, expires_at=state.expires_at
    )
    return "valid", times.not_after


def due_reminder(now: datetime, expires_at: datetime, reminded_days: int | None) -> int | None:
    """Return the reminder that is due, in days before the end; None if it has been emitted or none is due.

    Of several that became due at once only the last is emitted.
    """
    due = [days for days in REMINDER_DAYS if now >= expires_at - timedelta(days=days)]
    if now >= expires_at or not due or (reminded_days is not None and due[-1] >= reminded_days):
        return None
    return due[-1]
