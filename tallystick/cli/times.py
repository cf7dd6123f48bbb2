"""Timestamps on the command line: RFC 3339, or an age such as `90s`, `15m`, `2h`, `7d`."""

import re
from datetime import UTC, datetime, timedelta

from rich.markup import escape

from tallystick.cli.output import WrongUsage

_AGO = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def moment(text: str) -> datetime:
    """Parse a timestamp and return it in UTC; raises WrongUsage."""
    if ago := _AGO.fullmatch(text):
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise WrongUsage(
            f"{escape(text)} is no moment; write 2026-02-01T00:00:00Z, or 90s, 15m, 2h, 7d for that long ago."
        ) from None
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def ago(at: datetime) -> str:
    """Format the time since then roughly: `12 s`, `5 min`, `3 h`, `2 d`."""
    seconds = max((datetime.now(UTC) - at).total_seconds(), 0)
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"
