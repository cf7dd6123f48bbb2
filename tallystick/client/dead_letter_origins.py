"""Where a dead letter may be sent back to: what it says of its origin is not believed, it is checked.

Whoever gets a message into the stream of dead letters, or has a worker bury one, chooses what it says. An
operator who retries it acts with the rights of `admin`; so it goes to subjects of ours alone, of the service
that buried it, and takes along only those headers that our handlers read.
"""

import re
from collections.abc import Mapping
from typing import Final

from tallystick.messages import COMMANDS, EVENTS
from tallystick.subjects import REPLY_TO_HEADER, Subjects

JOBS: Final[Mapping[str, frozenset[str]]] = {
    "consumables": frozenset(
        {"expire_grants", "expire_reservations", "renew_grants", "report_usage", "settle_recharges"}
    ),
    "seats": frozenset({"expire_invitations"}),
    "subscriptions": frozenset(
        {
            "apply_changes",
            "clean_up",
            "end_grace",
            "end_trials",
            "move_periods",
            "send_reminders",
            "sync_stripe",
        }
    ),
    "webhooks": frozenset({"reconcile"}),
}
"""The jobs that ticks make a service run."""
SERVICES = frozenset(service for service, _ in COMMANDS) | JOBS.keys()
STRIPE_EVENT_SERVICE = "subscriptions"
"""Who applies Stripe's events."""
WEBHOOK_SERVICE = "webhooks"
"""Who takes in what an ingress publishes."""
KEPT_HEADERS = ("content-type", "traceparent", "tracestate", "stripe-signature")
KEPT_PREFIX = "ce-"
INBOX_PREFIX = "_INBOX"
_STRIPE_TYPE = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+")
_CUSTOMER = re.compile(r"[A-Za-z0-9_-]{1,90}")


def origin_problem(letter_subject: str, origin: str, subjects: Subjects, webhook_subject: str) -> str | None:
    """Why a letter on this subject is not sent back to this origin; None where it is."""
    if not origin:
        return "it does not say where it came from"
    buried_by = _buried_by(letter_subject, subjects)
    service = _service_at(origin, subjects, webhook_subject)
    if buried_by is None or service is None:
        return (
            f"it says that it came from {origin!r}, which is not the subject of a command, tick, event or "
            "webhook of this installation"
        )
    if service not in ("", buried_by):
        return f"it says that it came from {origin!r}, which {buried_by}, who has buried it, does not read"
    return None


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers to send a letter back with: those that handlers read, and none that JetStream would."""
    kept = {
        name: value
        for name, value in headers.items()
        if name.lower() in KEPT_HEADERS or name.lower().startswith(KEPT_PREFIX)
    }
    reply_to = headers.get(REPLY_TO_HEADER, "")
    return kept | ({REPLY_TO_HEADER: reply_to} if reply_to.startswith(INBOX_PREFIX) else {})


def _buried_by(letter_subject: str, subjects: Subjects) -> str | None:
    start = f"{subjects.prefix}.dead_letters."
    service, _, handler = letter_subject.removeprefix(start).partition(".")
    is_ours = letter_subject.startswith(start) and service in SERVICES and bool(handler)
    return service if is_ours else None


def _service_at(origin: str, subjects: Subjects, webhook_subject: str) -> str | None:
    """Who reads this subject; empty where any service may, None where it is none of ours."""
    if origin == webhook_subject:
        return WEBHOOK_SERVICE
    kind, _, rest = origin.removeprefix(f"{subjects.prefix}.").partition(".")
    if not origin.startswith(f"{subjects.prefix}."):
        return None
    service, _, name = rest.partition(".")
    if kind == "commands":
        return service if (service, name) in COMMANDS else None
    if kind == "ticks":
        return service if name in JOBS.get(service, ()) else None
    if kind == "stripe_events":
        return STRIPE_EVENT_SERVICE if _STRIPE_TYPE.fullmatch(rest) else None
    return "" if _is_event(origin, subjects) else None


def _is_event(origin: str, subjects: Subjects) -> bool:
    try:
        told = subjects.parse_event(origin)
    except ValueError:
        return False
    model = EVENTS.get((told.entity, told.schema))
    return model is not None and told.event in model.names and bool(_CUSTOMER.fullmatch(told.customer))
