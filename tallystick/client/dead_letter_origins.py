"""Validation of the subject to which a dead letter may be sent back.

The origin header is not trusted: anyone who can publish a dead letter, or make a worker bury a message,
chooses its content. A retry runs with the rights of `admin`, so a letter is sent back only to subjects of
this installation that the service which buried it consumes, and only with the headers that the handlers read.
"""

import re
from collections.abc import Mapping
from typing import Final

from tallystick.messages import COMMANDS, EVENTS
from tallystick.messages.webhooks import CONNECT_EVENT_TYPES
from tallystick.subjects import REPLY_TO_HEADER, Subjects

JOBS: Final[Mapping[str, frozenset[str]]] = {
    "consumables": frozenset(
        {
            "expire_grants",
            "expire_reservations",
            "fold_totals",
            "renew_grants",
            "report_usage",
            "settle_recharges",
            "charge_overages",
        }
    ),
    "monitoring": frozenset({"capture_snapshot", "catch_up", "check_alarms"}),
    "payouts": frozenset({"make_payouts", "release_held", "sync_accounts"}),
    "licenses": frozenset({"expire_licenses", "forget_silent_instances", "remind_licenses"}),
    "notifications": frozenset(
        {"clean_up", "deliver_webhooks", "forget_deliveries", "remind_invitations", "send_mails"}
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
"""Jobs of each service that are started by ticks."""
SERVICES = frozenset(service for service, _ in COMMANDS) | JOBS.keys()
STRIPE_EVENT_SERVICE, CONNECT_EVENT_SERVICE = "subscriptions", "payouts"
"""Services that consume Stripe events; the second those of connected accounts and transfers."""
WEBHOOK_SERVICE = "webhooks"
"""Service that consumes webhooks from an ingress."""
KEPT_HEADERS = ("content-type", "traceparent", "tracestate", "stripe-signature")
KEPT_PREFIX = "ce-"
INBOX_PREFIX = "_INBOX"
_STRIPE_TYPE = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+")
_CUSTOMER = re.compile(r"[A-Za-z0-9_-]{1,90}")


def origin_problem(letter_subject: str, origin: str, subjects: Subjects, webhook_subject: str) -> str | None:
    """Return why a dead letter must not be sent back to its origin; None if it may."""
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
        return f"it says that it came from {origin!r}, which {buried_by}, where it was buried, does not read"
    return None


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers to send a letter back with: those that handlers read, none for JetStream."""
    kept = {
        name: value
        for name, value in headers.items()
        if name.lower() in KEPT_HEADERS or name.lower().startswith(KEPT_PREFIX)
    }
    reply_to = headers.get(REPLY_TO_HEADER, "")
    return kept | ({REPLY_TO_HEADER: reply_to} if reply_to.startswith(INBOX_PREFIX) else {})


def _buried_by(letter_subject: str, subjects: Subjects) -> str | None:
    subject_start = f"{subjects.prefix}.dead_letters."
    service, _, handler = letter_subject.removeprefix(subject_start).partition(".")
    is_dead_letter = letter_subject.startswith(subject_start) and service in SERVICES and bool(handler)
    return service if is_dead_letter else None


def _service_at(origin: str, subjects: Subjects, webhook_subject: str) -> str | None:
    """Return the service that consumes a subject, "" for any service, or None for a foreign subject."""
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
        consumer = CONNECT_EVENT_SERVICE if rest in CONNECT_EVENT_TYPES else STRIPE_EVENT_SERVICE
        return consumer if _STRIPE_TYPE.fullmatch(rest) else None
    return "" if _is_event(origin, subjects) else None


def _is_event(origin: str, subjects: Subjects) -> bool:
    try:
        event = subjects.parse_event(origin)
    except ValueError:
        return False
    model = EVENTS.get((event.entity, event.schema))
    return model is not None and event.event in model.names and bool(_CUSTOMER.fullmatch(event.customer))
