"""The rules of this service, without I/O: what a Stripe event is, and how a report changes its status."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from tallystick.messages.webhooks import APPLIED_EVENT_TYPES, StoredEventStatus

EVENT_ID = re.compile(r"[A-Za-z0-9_]{1,100}")
"""Stripe's are about 30 long. It also becomes a message id of JetStream and a part of page cursors."""
EVENT_TYPE = re.compile(r"[a-z0-9_]+(?:\.[a-z0-9_]+){1,7}")
"""`customer.subscription.updated`; it becomes the end of a subject, so nothing else may be in it."""
EVENT_TYPE_MAX_CHARACTERS = 120
CREATED_MAX_SECONDS = 253_402_300_799
"""The last second of the year 9999: the last that a timestamp can hold."""
DEPTH_MAX = 64
"""Nesting of a payload; Stripe's deepest objects have about ten levels."""
INT64_MAX = 2**63 - 1

NUL_ESCAPE = rb"\u0000"
DIGITS_TO_ZERO = bytes.maketrans(b"123456789", b"000000000")
"""Every digit seen as 0: a plain search then finds a number by its shape, much faster than a pattern."""
LARGE_NUMBER = b"0" * 19
"""The shape of a whole number beyond 64 bits."""
BRACKETS_UNCHECKED_MAX = DEPTH_MAX
"""A payload with fewer braces and brackets than this cannot be nested too deeply."""

STRIPE_LIST_PERIOD = timedelta(days=30)
"""How long Stripe lists an event."""
RECONCILE_OVERLAP = timedelta(hours=3)
"""Compared again each time: an event can become listable later than its time stamp says."""


class InvalidEvent(ValueError):
    """The payload is not an event of Stripe's that could be stored and passed on."""


class IncomingEvent(NamedTuple):
    """A Stripe event on its way into the table; a tuple because there are thousands a second."""

    event_id: str
    type: str
    status: StoredEventStatus
    created_at: datetime
    received_at: datetime
    payload: bytes


def parse_event(document: Any, payload: bytes, received_at: datetime) -> IncomingEvent:
    """The event in a payload, `document` being the same parsed; raises InvalidEvent with the reason."""
    if not isinstance(document, dict) or document.get("object") != "event":
        raise InvalidEvent("not an object of the type event")
    event_id, created = document.get("id"), document.get("created")
    if not isinstance(event_id, str) or not EVENT_ID.fullmatch(event_id):
        raise InvalidEvent("`id` is not the id of an event")
    event_type = _event_type(document)
    if type(created) is not int or not 0 <= created <= CREATED_MAX_SECONDS:
        raise InvalidEvent("`created` is not a Unix time")
    data = document.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("object"), dict):
        raise InvalidEvent("`data.object` is missing")
    _reject_unsafe_values(document, payload)
    return IncomingEvent(
        event_id=event_id,
        type=event_type,
        status=initial_status(event_type),
        created_at=datetime.fromtimestamp(created, UTC),
        received_at=received_at,
        payload=payload,
    )


def initial_status(event_type: str) -> StoredEventStatus:
    """`received` where some service acts on the type, else `ignored`."""
    return "received" if event_type in APPLIED_EVENT_TYPES else "ignored"


def _event_type(document: dict[str, Any]) -> str:
    value = document.get("type")
    if isinstance(value, str) and len(value) <= EVENT_TYPE_MAX_CHARACTERS and EVENT_TYPE.fullmatch(value):
        return value
    raise InvalidEvent("`type` is not the type of an event")


def _reject_unsafe_values(document: Any, payload: bytes) -> None:
    """Raise InvalidEvent for what a consumer would choke on; cheap for the ordinary payload."""
    if (
        (b"\\" in payload and NUL_ESCAPE in payload)
        or LARGE_NUMBER in payload.translate(DIGITS_TO_ZERO)
        or payload.count(b"{") + payload.count(b"[") > BRACKETS_UNCHECKED_MAX
    ):
        _check_values(document)


def _check_values(document: Any) -> None:
    """Raise InvalidEvent for NUL characters, numbers beyond 64 bits and nesting that is too deep."""
    level = [document]
    for _ in range(DEPTH_MAX):
        if not level:
            return
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below.extend(value)
                below.extend(value.values())
            elif isinstance(value, list):
                below.extend(value)
            elif isinstance(value, str):
                if "\x00" in value:
                    raise InvalidEvent("a text contains a NUL character")
            elif isinstance(value, int | float) and abs(value) > INT64_MAX:
                raise InvalidEvent("a number does not fit 64 bits")
        level = below
    raise InvalidEvent(f"nested deeper than {DEPTH_MAX} levels")


@dataclass(frozen=True, slots=True)
class ProcessingState:
    """What became of a stored event so far."""

    status: StoredEventStatus
    attempts: int
    last_error: str | None


def apply_report(
    state: ProcessingState, status: StoredEventStatus, *, attempt: int, error: str | None
) -> ProcessingState | None:
    """The standing after a service's report, or None where the report changes nothing.

    Reports are queued and may overtake one another: `applied` is final until a replay, otherwise the later
    attempt counts.
    """
    attempts = max(state.attempts, attempt)
    if status == "applied":
        changed = ProcessingState("applied", attempts, None)
    elif state.status == "applied":
        changed = ProcessingState("applied", attempts, state.last_error)
    elif attempt < state.attempts:
        return None
    else:
        changed = ProcessingState(status, attempts, error)
    return changed if changed != state else None


def reconcile_since(reconciled_until: datetime | None, at: datetime) -> datetime:
    """From when on a run at `at` compares: from the end of the last one, with an overlap, at most 30 days."""
    oldest = at - STRIPE_LIST_PERIOD
    if reconciled_until is None:
        return oldest
    return max(oldest, min(reconciled_until, at) - RECONCILE_OVERLAP)
