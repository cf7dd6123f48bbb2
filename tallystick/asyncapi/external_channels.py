"""What surrounds Tallystick's own messages in the document: Stripe's events, ticks and dead letters."""

from tallystick.asyncapi.builders import Json, channel, operation
from tallystick.subjects import (
    DEAD_LETTERS_STREAM,
    STRIPE_EVENTS_STREAM,
    TICKS_STREAM,
    WEBHOOKS_STREAM,
    Subjects,
)

DEFAULT_WEBHOOK_SUBJECT = "tunnel.incoming-webhook-events.stripe"
DEAD_LETTER_HEADERS = {
    "Billing-Origin-Subject": "Where the message came from, and where a retry sends it.",
    "Billing-Origin-Stream": "The stream it came from.",
    "Billing-Service": "The service that gave it up.",
    "Billing-Handler": "The handler that gave it up.",
    "Billing-Attempts": "How often it was tried.",
    "Billing-Error": "What went wrong the last time.",
    "Billing-Failed-At": "When it was given up, RFC 3339.",
}


def add_stripe(parts: Json, subjects: Subjects) -> None:
    """Stripe's events: as they come in over NATS, and as they are handed on."""
    signature = {
        "type": "string",
        "description": "As Stripe sent it; none where the ingress has verified it.",
    }
    payload = {
        "type": "object",
        "description": "A Stripe event, as Stripe sent it.",
        "required": ["id", "type"],
    }
    for name, headers in (("stripe.webhook", {"Stripe-Signature": signature}), ("stripe.event", {})):
        parts["messages"][name] = {
            "name": name,
            "contentType": "application/json",
            "payload": payload,
            "headers": {"type": "object", "properties": headers},
        }
    channel(
        parts,
        "stripe.webhooks",
        DEFAULT_WEBHOOK_SUBJECT,
        ["stripe.webhook"],
        description=f"On the stream {WEBHOOKS_STREAM}; the setting WEBHOOK_SUBJECT names another subject.",
    )
    operation(parts, "stripe.webhooks", "receive", "stripe.webhooks", "Store each Stripe event once.")
    channel(
        parts,
        "stripe.events",
        subjects.stripe_event("{type}"),
        ["stripe.event"],
        description=f"On the stream {STRIPE_EVENTS_STREAM}.",
        parameters={"type": {"description": "Stripe's type, `customer.subscription.updated`."}},
    )
    operation(parts, "stripe.events", "send", "stripe.events", "Hand each stored Stripe event on once.")


def add_ticks(parts: Json, subjects: Subjects) -> None:
    """The messages that make jobs run."""
    at = {"type": "string", "format": "date-time", "description": "The job does all that is due by then."}
    parts["messages"]["tick"] = {
        "name": "tick",
        "contentType": "application/json",
        "payload": {"type": "object", "properties": {"at": at}},
    }
    channel(
        parts,
        "ticks",
        subjects.tick("{service}", "{job}"),
        ["tick"],
        description=f"On the stream {TICKS_STREAM}, published by its schedules or by the NATS user `clock`.",
        parameters={"service": {"description": "Whose job."}, "job": {"description": "Which job."}},
    )
    operation(parts, "ticks", "receive", "ticks", "Run a job.")


def add_dead_letters(parts: Json, subjects: Subjects) -> None:
    """What was given up."""
    headers = {name: {"type": "string", "description": text} for name, text in DEAD_LETTER_HEADERS.items()}
    parts["messages"]["dead_letter"] = {
        "name": "dead_letter",
        "summary": "A message that failed for good: its own body and headers, and why.",
        "headers": {"type": "object", "required": list(headers), "properties": headers},
        "payload": {"description": "The message as it came; not always JSON."},
    }
    channel(
        parts,
        "dead_letters",
        subjects.dead_letter("{service}", "{handler}"),
        ["dead_letter"],
        description=f"On the stream {DEAD_LETTERS_STREAM}, kept for 90 days.",
        parameters={"service": {"description": "Who gave it up."}, "handler": {"description": "Where."}},
    )
    operation(parts, "dead_letters", "send", "dead_letters", "Give a message up.")
