"""Channels of the document for Tallystick's own messages: commands, questions, events and entitlements."""

from typing import Any

from tallystick.asyncapi.builders import TRACE, Json, channel, first_line, message, operation, outcome_name
from tallystick.messages import COMMANDS
from tallystick.messages.base import Event, Request
from tallystick.messages.subscriptions import BucketEntry
from tallystick.subjects import (
    CHANGE_FEED_STREAM,
    COMMANDS_STREAM,
    ENTITLEMENTS_BUCKET,
    REPLY_TO_HEADER,
    Subjects,
)


def add_request(parts: Json, subjects: Subjects, model: type[Request[Any]]) -> None:
    """Add the request channel of a command or question, and its reply channel."""
    name = f"{model.service}.{model.name}"
    kind = "command" if model.registry is COMMANDS else "question"
    outcome = f"{name}.outcome"
    parts["messages"][name] = message(name, model.__name__, first_line(model), {"traceparent": TRACE})
    parts["messages"][outcome] = message(outcome, outcome_name(model), f"Outcome of `{name}`.")
    channel(parts, f"request.{name}", subjects.request(model.service, model.name), [name])
    channel(
        parts, f"reply.{name}", None, [outcome], description="Inbox given as the request's reply subject."
    )
    operation(
        parts,
        f"request.{name}",
        "receive",
        f"request.{name}",
        first_line(model),
        description=(model.__doc__ or "").strip(),
        tags=[{"name": model.service}, {"name": kind}],
        reply={
            "address": {"location": "$message.header#/reply", "description": "NATS' own reply subject."},
            "channel": {"$ref": f"#/channels/reply.{name}"},
        },
    )


def add_queued(parts: Json, subjects: Subjects, model: type[Request[Any]]) -> None:
    """Add the work-queue channel of a command."""
    name = f"{model.service}.{model.name}"
    reply_to = {
        "type": "string",
        "description": "Inbox to which the outcome is published. Without it the outcome is only stored.",
        "pattern": "^_INBOX",
    }
    message_id = {
        "type": "string",
        "description": "JetStream stores messages with the same id once within two minutes.",
    }
    headers = {REPLY_TO_HEADER: reply_to, "Nats-Msg-Id": message_id, "traceparent": TRACE}
    parts["messages"][f"{name}.queued"] = message(
        f"{name}.queued", model.__name__, first_line(model), headers
    )
    channel(
        parts,
        f"queue.{name}",
        subjects.command(model.service, model.name),
        [f"{name}.queued"],
        description=f"Work queue, on the stream {COMMANDS_STREAM}.",
    )
    operation(
        parts,
        f"queue.{name}",
        "receive",
        f"queue.{name}",
        first_line(model),
        tags=[{"name": model.service}, {"name": "command"}],
    )


def add_event(parts: Json, subjects: Subjects, model: type[Event]) -> None:
    """Add the change-feed channel of an entity, with one message for each event."""
    events = [f"{name}V{model.schema_version}" for name in model.names]
    names = [f"{model.entity}.{event}" for event in events]
    for name in names:
        parts["messages"][name] = {
            **message(name, model.__name__, first_line(model)),
            "traits": [{"$ref": "#/components/messageTraits/cloudEvent"}],
        }
    feed = f"feed.{model.entity}V{model.schema_version}"
    channel(
        parts,
        feed,
        f"{subjects.prefix}.change_feed.{model.entity}.{{customer}}.{{event}}",
        names,
        description=f"On the stream {CHANGE_FEED_STREAM}, kept for 30 days.",
        parameters={
            "customer": {
                "description": f"Customer token such as `organization_acme`, or `{model.platform_token}`."
            },
            "event": {"description": "Name and schema version of the event.", "enum": events},
        },
    )
    operation(parts, feed, "send", feed, first_line(model), tags=[{"name": model.service}, {"name": "event"}])


def cloud_event() -> Json:
    """Return the headers of every event: CloudEvents 1.0 in binary mode."""
    described = {
        "ce-specversion": {"const": "1.0"},
        "ce-id": {"type": "string", "description": "Event id; the same as `Nats-Msg-Id`."},
        "ce-source": {"type": "string", "description": "`/billing/<service>`."},
        "ce-type": {"type": "string", "description": "`billing.<entity>.<event>V1`."},
        "ce-time": {"type": "string", "format": "date-time"},
        "ce-subject": {"type": "string", "description": "Customer token."},
        "content-type": {"const": "application/json"},
        "Nats-Msg-Id": {"type": "string"},
        "traceparent": TRACE,
    }
    required = [name for name in described if name not in ("traceparent",)]
    return {"headers": {"type": "object", "required": required, "properties": described}}


def add_entitlements(parts: Json) -> None:
    """Add the key-value bucket with the entitlements."""
    name = "entitlement.entry"
    parts["messages"][name] = message(
        name,
        BucketEntry.__name__,
        "Entitlement of a customer to a feature; the key is deleted when the entitlement ends.",
    )
    channel(
        parts,
        "bucket.entitlements",
        f"$KV.{ENTITLEMENTS_BUCKET}.{{customer}}.{{feature}}",
        [name],
        description=f"The JetStream key-value bucket {ENTITLEMENTS_BUCKET}, for reading and watching.",
        parameters={
            "customer": {"description": "Customer token, such as `organization_acme`."},
            "feature": {"description": "Feature code."},
        },
    )
    operation(
        parts, "bucket.entitlements", "send", "bucket.entitlements", "Keep the entitlements up to date."
    )
