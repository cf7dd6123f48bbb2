"""Rules for Stripe events: validation, the initial status, and changes of status by reports."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from tallystick.messages.webhooks import APPLIED_EVENT_TYPES, CONNECT_EVENT_TYPES, StoredEventStatus

EVENT_ID = re.compile(r"[A-Za-z0-9_]{1,100}")
"""Stripe's ids have about 30 characters. They are also JetStream message ids and part of page cursors."""
EVENT_TYPE = re.compile(r"[a-z0-9_]+(?:\.[a-z0-9_]+){1,7}")
"""For example `customer.subscription.updated`; the type ends a subject, so it has no other characters."""
EVENT_TYPE_MAX_CHARACTERS = 120
CREATED_MAX_SECONDS = 253_402_300_799
"""The last second of the year 9999, the maximum of `datetime`."""
DEPTH_MAX = 64
"""Maximum nesting of a payload; Stripe's deepest objects have about ten levels."""
INT64_MAX = 2**63 - 1

NUL_ESCAPE = rb"\u0000"
DIGITS_TO_ZERO = bytes.maketrans(b"123456789", b"000000000")
"""Maps every digit to 0, so that a plain search finds long numbers; much faster than a pattern."""
LARGE_NUMBER = b"0" * 19
"""Digits of a whole number that may exceed 64 bits."""
BRACKETS_UNCHECKED_MAX = DEPTH_MAX
"""A payload with no more braces and brackets than this cannot be nested too deeply."""

STRIPE_LIST_PERIOD = timedelta(days=30)
"""The period for which Stripe lists an event."""
RECONCILE_OVERLAP = timedelta(hours=3)
"""Compared again in each run, as Stripe may list an event later than its timestamp."""


class InvalidEvent(ValueError):
    """The payload is not a Stripe event that can be stored and published."""


class IncomingEvent(NamedTuple):
    """A validated Stripe event before it is stored; a tuple because thousands are created per second."""

    event_id: str
    type: str
    status: StoredEventStatus
    created_at: datetime
    received_at: datetime
    payload: bytes
    livemode: bool | None = None
    """Whether it is about real money; None: the payload does not say."""
    problem: str | None = None
    """Why it is stored but not published."""


def in_mode(event: IncomingEvent, livemode: bool | None) -> IncomingEvent:
    """Return the event as it is to be stored where Stripe's key is of a mode; None: the mode is unknown.

    An event of the other mode, though Stripe signed it, is about objects that the key cannot see.
    """
    if livemode is None or event.livemode is None or event.livemode is livemode:
        return event
    modes = {True: "live mode", False: "test mode"}
    problem = f"The event is of {modes[event.livemode]}, the key of this installation of {modes[livemode]}."
    return event._replace(status="ignored", problem=problem)


def livemode_of(secret_key: str | None) -> bool | None:
    """Return the mode of a Stripe key, such as `sk_test_…` or `rk_live_…`; None for any other text."""
    mode = (secret_key or "").split("_")[1:2]
    return {"live": True, "test": False}.get(mode[0]) if mode else None


def parse_event(document: Any, payload: bytes, received_at: datetime) -> IncomingEvent:
    """Validate a payload and its parsed `document`; raise InvalidEvent with the reason."""
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
        status=initial_status(event_type, of_connected_account=document.get("account") is not None),
        created_at=datetime.fromtimestamp(created, UTC),
        received_at=received_at,
        payload=payload,
        livemode=document["livemode"] if isinstance(document.get("livemode"), bool) else None,
    )


def initial_status(event_type: str, *, of_connected_account: bool = False) -> StoredEventStatus:
    """Return `received` if a service applies events of the type, else `ignored`.

    What happens in a connected account, such as a sale of its owner's, is not ours to apply.
    """
    types = CONNECT_EVENT_TYPES if of_connected_account else APPLIED_EVENT_TYPES
    return "received" if event_type in types else "ignored"


def _event_type(document: dict[str, Any]) -> str:
    value = document.get("type")
    if isinstance(value, str) and len(value) <= EVENT_TYPE_MAX_CHARACTERS and EVENT_TYPE.fullmatch(value):
        return value
    raise InvalidEvent("`type` is not the type of an event")


def _reject_unsafe_values(document: Any, payload: bytes) -> None:
    """Raise InvalidEvent for values that consumers cannot process; cheap for ordinary payloads."""
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
    """The processing status of a stored event."""

    status: StoredEventStatus
    attempts: int
    last_error: str | None


def apply_report(
    state: ProcessingState, status: StoredEventStatus, *, attempt: int, error: str | None
) -> ProcessingState | None:
    """Return the state after a service's report, or None if the report changes nothing.

    Reports may arrive out of order: `applied` is final until a replay, otherwise the later attempt counts.
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
    """Return the start of a run at `at`: the end of the last run minus an overlap, at most 30 days back."""
    oldest = at - STRIPE_LIST_PERIOD
    if reconciled_until is None:
        return oldest
    return max(oldest, min(reconciled_until, at) - RECONCILE_OVERLAP)
