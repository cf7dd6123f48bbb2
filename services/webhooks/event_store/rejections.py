"""Rejections about stored events."""

from shared.errors import Rejected


def event_not_found(event_id: str) -> Rejected:
    """Build the rejection of an event id that is not stored."""
    return Rejected("not_found", "There is no such event.", {"event_id": event_id})
