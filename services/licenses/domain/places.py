"""The places of a license: how many machines may be activated, and which of them are silent."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Place:
    """An activated machine."""

    instance_id: str
    grace_until: datetime
    """Time until which its last file lets the product run."""


def silent_places(places: Sequence[Place], now: datetime) -> list[str]:
    """Return the machines whose last file has ended for good: they are not there any more."""
    return [place.instance_id for place in places if place.grace_until <= now]


def has_room(places: Sequence[Place], instances: int, now: datetime) -> bool:
    """Return whether another machine may be activated, in a place that is free or becomes so."""
    return len(places) - len(silent_places(places, now)) < instances


def is_enough(seats: int, *, members: int, current: int | None) -> bool:
    """Return whether so many seats are enough for the members that all machines report.

    More seats are always allowed, even if the members are more than those.
    """
    return seats >= members or (current is not None and seats >= current)
