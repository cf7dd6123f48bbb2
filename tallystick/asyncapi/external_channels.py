"""Channels of the document that carry other messages: Stripe events, ticks and dead letters."""

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
    "Billing-Origin-Subject": "Subject the message was received on; a retry publishes it there again.",
    "Billing-Origin-Stream": "Stream the message was received from.",
    "Billing-Service": "Service whose handler failed.",
    "Billing-Handler": "Handler that failed.",
    "Billing-Attempts": "Number of attempts.",
    "Billing-Error": "Error of the last attempt.",
    "Billing-Failed-At": "Time of the last attempt, RFC 3339.",
}


def add_stripe(parts: Json, subjects: Subjects) -> None:
    """Add the channels for Stripe events: received from an ingress, and published to the services."""
    signature = {
        "type": "string",
        "description": "Stripe's signature; absent when the ingress has already verified it.",
    }
    payload = {
        "type": "object",
        "description": "A Stripe event, unchanged.",
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
        parameters={"type": {"description": "Stripe's event type, such as `customer.subscription.updated`."}},
    )
    operation(parts, "stripe.events", "send", "stripe.events", "Publish each stored Stripe event once.")


def add_ticks(parts: Json, subjects: Subjects) -> None:
    """Add the channel for ticks, the messages that start jobs."""
    due_at = {
        "type": "string",
        "format": "date-time",
        "description": "The job processes everything that is due at this time.",
    }
    parts["messages"]["tick"] = {
        "name": "tick",
        "contentType": "application/json",
        "payload": {"type": "object", "properties": {"at": due_at}},
    }
    channel(
        parts,
        "ticks",
        subjects.tick("{service}", "{job}"),
        ["tick"],
        description=f"On the stream {TICKS_STREAM}, published by its schedules or by the NATS user `clock`.",
        parameters={
            "service": {"description": "Service that runs the job."},
            "job": {"description": "Name of the job."},
        },
    )
    operation(parts, "ticks", "receive", "ticks", "Run a job.")


def add_dead_letters(parts: Json, subjects: Subjects) -> None:
    """Add the channel for dead letters."""
    headers = {name: {"type": "string", "description": text} for name, text in DEAD_LETTER_HEADERS.items()}
    parts["messages"]["dead_letter"] = {
        "name": "dead_letter",
        "summary": "A message that could not be processed: its original body and headers, and the error.",
        "headers": {"type": "object", "required": list(headers), "properties": headers},
        "payload": {"description": "The original body; not always JSON."},
    }
    channel(
        parts,
        "dead_letters",
        subjects.dead_letter("{service}", "{handler}"),
        ["dead_letter"],
        description=f"On the stream {DEAD_LETTERS_STREAM}, kept for 90 days.",
        parameters={
            "service": {"description": "Service whose handler failed."},
            "handler": {"description": "Handler that failed."},
        },
    )
    operation(parts, "dead_letters", "send", "dead_letters", "Publish a message that could not be processed.")
