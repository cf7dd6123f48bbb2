"""NATS subjects, streams and buckets of the product; subjects are built and parsed only here.

All subjects begin with a prefix (the setting `SUBJECT_PREFIX`, by default `billing`), so that they do not
collide with other applications. Stream and bucket names are fixed: two installations on one server need
separate NATS accounts.
"""

import re
from dataclasses import dataclass

DEFAULT_PREFIX = "billing"
DEFAULT_WEBHOOK_SUBJECT = "tunnel.incoming-webhook-events.stripe"
"""Subject on which an external ingress publishes Stripe payloads; the setting `WEBHOOK_SUBJECT` overrides
it."""
CATALOG_TOKEN = "platform_catalog"
"""Replaces the customer token in the subjects of catalog events."""
MONITORING_TOKEN = "platform_monitoring"
"""Replaces the customer token in the subjects of events about the whole installation."""
NOTIFICATIONS_TOKEN = "platform_notifications"
"""Replaces the customer token of alarms' notifications, and of endpoints that get every customer's events."""
PLATFORM_TOKENS = (CATALOG_TOKEN, MONITORING_TOKEN, NOTIFICATIONS_TOKEN)

COMMANDS_STREAM = "BILLING_COMMANDS"
CHANGE_FEED_STREAM = "BILLING_CHANGE_FEED"
SERVICE_FEED_STREAM = "BILLING_SERVICE_FEED"
"""Stream with the part of the change feed that the services consume; it sources from
`BILLING_CHANGE_FEED`."""
OUTGOING_EVENTS_STREAM = "BILLING_OUTGOING_EVENTS"
"""Stream with the whole change feed, in which an event stays until its webhooks are queued."""
SCHEDULES_STREAM = "BILLING_SCHEDULES"
"""Stream of JetStream message schedules; the ticks they publish are sourced into `BILLING_TICKS`."""
TICKS_STREAM = "BILLING_TICKS"
WEBHOOKS_STREAM = "BILLING_WEBHOOKS"
STRIPE_EVENTS_STREAM = "BILLING_STRIPE_EVENTS"
DEAD_LETTERS_STREAM = "BILLING_DEAD_LETTERS"
ENTITLEMENTS_BUCKET = "billing_entitlements"
BALANCES_BUCKET = "billing_balances"
SESSIONS_BUCKET = "billing_sessions"
"""Bucket of the gateway: used sign-in links and revoked sessions."""

REPLY_TO_HEADER = "Billing-Reply-To"
"""Header of a queued command with the subject to which the outcome is published."""

_EVENT_TOKEN = re.compile(r"(?P<event>[a-z][A-Za-z]*)V(?P<schema>[1-9][0-9]*)")


@dataclass(frozen=True, slots=True)
class EventSubject:
    """Parsed change-feed subject."""

    entity: str
    customer: str
    event: str
    schema: int


@dataclass(frozen=True, slots=True)
class Subjects:
    """Builder and parser for the subjects under one prefix."""

    prefix: str = DEFAULT_PREFIX

    def request(self, service: str, name: str) -> str:
        """Return the subject for a command or question whose sender waits for the reply."""
        return f"{self.prefix}.requests.{service}.{name}"

    def command(self, service: str, name: str) -> str:
        """Return the work-queue subject for a command whose sender does not wait."""
        return f"{self.prefix}.commands.{service}.{name}"

    def event(self, entity: str, customer: str, event: str, schema: int = 1) -> str:
        """Return the subject of a change-feed event; `customer` is a customer or platform token."""
        return f"{self.prefix}.change_feed.{entity}.{customer}.{event}V{schema}"

    def feed(self, entity: str = "*", customer: str = "*", event: str = "*") -> str:
        """Return a change-feed filter, by default for everything; `event` has its version, `createdV1`."""
        if entity == customer == event == "*":
            return f"{self.prefix}.change_feed.>"
        return f"{self.prefix}.change_feed.{entity}.{customer}.{event}"

    def stripe_event(self, event_type: str) -> str:
        """Return the subject on which a stored Stripe event is published."""
        return f"{self.prefix}.stripe_events.{event_type}"

    def tick(self, service: str, job: str) -> str:
        """Return the subject of the ticks that start a job of a service."""
        return f"{self.prefix}.ticks.{service}.{job}"

    def scheduled(self, service: str, job: str) -> str:
        """Return the subject on which a JetStream schedule publishes the ticks of a job."""
        return f"{self.prefix}.scheduled.{service}.{job}"

    def dead_letter(self, service: str, handler: str) -> str:
        """Return the subject for messages that a handler could not process after all retries."""
        return f"{self.prefix}.dead_letters.{service}.{handler}"

    def parse_event(self, subject: str) -> EventSubject:
        """Parse a change-feed subject.

        Raises ValueError when it is not a change-feed subject under this prefix.
        """
        start = f"{self.prefix}.change_feed."
        tokens = subject.removeprefix(start).split(".")
        matched = _EVENT_TOKEN.fullmatch(tokens[-1])
        if not subject.startswith(start) or len(tokens) != 3 or matched is None:
            raise ValueError(f"{subject!r} is not a change-feed subject under {self.prefix!r}")
        return EventSubject(
            entity=tokens[0], customer=tokens[1], event=matched["event"], schema=int(matched["schema"])
        )


def entitlement_key(customer: str, feature: str) -> str:
    """Return the key in `billing_entitlements` for a customer token and a feature code."""
    return f"{customer}.{feature}"


def kv_subject(bucket: str, key: str) -> str:
    """Return the subject of a bucket's key; a put publishes to it."""
    return f"$KV.{bucket}.{key}"
