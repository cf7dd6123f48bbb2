"""The clock of a worker, which tests replace."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from shared.clock import utc_now


@dataclass(frozen=True, slots=True)
class Clock:
    """Tells the time at which something is sent or found to be too old."""

    now: Callable[[], datetime] = utc_now
