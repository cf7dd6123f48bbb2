"""Tallystick's own messages in the document: commands, questions, events and the entitlements bucket."""

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
    """A command or question as a request, with its reply."""
    name = f"{model.service}.{model.name}"
    kind = "command" if model.registry is COMMANDS else "question"
    outcome = f"{name}.outcome"
    parts["messages"][name] = message(name, model.__name__, first_line(model), {"traceparent": TRACE})
    parts["messages"][outcome] = message(outcome, outcome_name(model), f"What became of `{name}`.")
    channel(parts, f"request.{name}", subjects.request(model.service, model.name), [name])
    channel(parts, f"reply.{name}", None, [outcome], description="The inbox named by the request.")
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
    """A command through the work queue."""
    name = f"{model.service}.{model.name}"
    reply_to = {
        "type": "string",
        "description": "An inbox the outcome is published to; without it nobody is told.",
        "pattern": "^_INBOX",
    }
    message_id = {"type": "string", "description": "Two equal ids within two minutes are stored once."}
    headers = {REPLY_TO_HEADER: reply_to, "Nats-Msg-Id": message_id, "traceparent": TRACE}
    parts["messages"][f"{name}.queued"] = message(
        f"{name}.queued", model.__name__, first_line(model), headers
    )
    channel(
        parts,
        f"queue.{name}",
        subjects.command(model.service, model.name),
        [f"{name}.queued"],
        description=f"Through the work queue {COMMANDS_STREAM}.",
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
    """An entity's events on the change feed, one message for each."""
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
            "customer": {"description": "`user_7`, `organization_acme`; `platform_catalog` for the catalog."},
            "event": {"description": "What happened.", "enum": events},
        },
    )
    operation(parts, feed, "send", feed, first_line(model), tags=[{"name": model.service}, {"name": "event"}])


def cloud_event() -> Json:
    """The headers of every event: CloudEvents 1.0 in binary mode."""
    described = {
        "ce-specversion": {"const": "1.0"},
        "ce-id": {"type": "string", "description": "The event's id; also in `Nats-Msg-Id`."},
        "ce-source": {"type": "string", "description": "`/billing/<service>`."},
        "ce-type": {"type": "string", "description": "`billing.<entity>.<event>V1`."},
        "ce-time": {"type": "string", "format": "date-time"},
        "ce-subject": {"type": "string", "description": "The customer's token."},
        "content-type": {"const": "application/json"},
        "Nats-Msg-Id": {"type": "string"},
        "traceparent": TRACE,
    }
    required = [name for name in described if name not in ("traceparent",)]
    return {"headers": {"type": "object", "required": required, "properties": described}}


def add_entitlements(parts: Json) -> None:
    """The bucket in which entitlements are kept."""
    name = "entitlement.entry"
    parts["messages"][name] = message(
        name, BucketEntry.__name__, "What a customer may use of a feature; deleted when nothing grants it."
    )
    channel(
        parts,
        "bucket.entitlements",
        f"$KV.{ENTITLEMENTS_BUCKET}.{{customer}}.{{feature}}",
        [name],
        description=f"The JetStream key-value bucket {ENTITLEMENTS_BUCKET}, to be read or watched.",
        parameters={
            "customer": {"description": "`organization_acme`."},
            "feature": {"description": "Its code."},
        },
    )
    operation(parts, "bucket.entitlements", "send", "bucket.entitlements", "Keep the bucket true.")
