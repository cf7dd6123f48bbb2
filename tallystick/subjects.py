"""Every NATS subject of the product, built and taken apart in one place.

All subjects begin with a prefix (`billing` unless the setting `SUBJECT_PREFIX` says otherwise), so that they
stay out of the way of others. Streams and buckets have the same names everywhere: two installations on one
server need an account each.
"""

import re
from dataclasses import dataclass

DEFAULT_PREFIX = "billing"
DEFAULT_WEBHOOK_SUBJECT = "tunnel.incoming-webhook-events.stripe"
"""Where an ingress of others publishes Stripe's payloads; the setting `WEBHOOK_SUBJECT` names another."""
CATALOG_TOKEN = "platform_catalog"
"""Stands where a customer's token would, in events about the catalog."""

COMMANDS_STREAM = "BILLING_COMMANDS"
CHANGE_FEED_STREAM = "BILLING_CHANGE_FEED"
SERVICE_FEED_STREAM = "BILLING_SERVICE_FEED"
"""What services follow of the feed: a stream of their own, which copies from the public one."""
SCHEDULES_STREAM = "BILLING_SCHEDULES"
"""JetStream's schedules and the ticks they make, from where these come to `BILLING_TICKS`."""
TICKS_STREAM = "BILLING_TICKS"
WEBHOOKS_STREAM = "BILLING_WEBHOOKS"
STRIPE_EVENTS_STREAM = "BILLING_STRIPE_EVENTS"
DEAD_LETTERS_STREAM = "BILLING_DEAD_LETTERS"
ENTITLEMENTS_BUCKET = "billing_entitlements"
BALANCES_BUCKET = "billing_balances"
SESSIONS_BUCKET = "billing_sessions"
"""The gateway's: links that were opened, sessions that were ended."""

REPLY_TO_HEADER = "Billing-Reply-To"
"""Header of a queued command that names the subject its outcome is published to."""

_EVENT_TOKEN = re.compile(r"(?P<event>[a-z][A-Za-z]*)V(?P<schema>[1-9][0-9]*)")


@dataclass(frozen=True, slots=True)
class EventSubject:
    """What a change-feed subject says: whose entity changed, and how."""

    entity: str
    customer: str
    event: str
    schema: int


@dataclass(frozen=True, slots=True)
class Subjects:
    """Builds and parses the subjects under one prefix."""

    prefix: str = DEFAULT_PREFIX

    def request(self, service: str, name: str) -> str:
        """Where a command or question is sent when the caller waits for the reply."""
        return f"{self.prefix}.requests.{service}.{name}"

    def command(self, service: str, name: str) -> str:
        """Where a command is queued when the caller hands it over and leaves."""
        return f"{self.prefix}.commands.{service}.{name}"

    def event(self, entity: str, customer: str, event: str, schema: int = 1) -> str:
        """Where an entity's change is told; `customer` is a customer's token or `CATALOG_TOKEN`."""
        return f"{self.prefix}.change_feed.{entity}.{customer}.{event}V{schema}"

    def feed(self, entity: str = "*", customer: str = "*", event: str = "*") -> str:
        """A filter on the change feed; everything by default. `event` includes its version, `createdV1`."""
        if entity == customer == event == "*":
            return f"{self.prefix}.change_feed.>"
        return f"{self.prefix}.change_feed.{entity}.{customer}.{event}"

    def stripe_event(self, event_type: str) -> str:
        """Where a stored Stripe event is published, `customer.subscription.updated` for example."""
        return f"{self.prefix}.stripe_events.{event_type}"

    def tick(self, service: str, job: str) -> str:
        """Where the ticks arrive that make a service run one of its jobs."""
        return f"{self.prefix}.ticks.{service}.{job}"

    def scheduled(self, service: str, job: str) -> str:
        """Where a schedule makes the ticks of a job."""
        return f"{self.prefix}.scheduled.{service}.{job}"

    def dead_letter(self, service: str, handler: str) -> str:
        """Where a message goes that a handler could not deal with after all its retries."""
        return f"{self.prefix}.dead_letters.{service}.{handler}"

    def parse_event(self, subject: str) -> EventSubject:
        """Take a change-feed subject apart.

        Raises ValueError when it is not one of this prefix.
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
    """The key of `billing_entitlements` for a customer's token and a feature's code."""
    return f"{customer}.{feature}"


def kv_subject(bucket: str, key: str) -> str:
    """The subject behind a bucket's key: a put is a publish there."""
    return f"$KV.{bucket}.{key}"
