"""Parsed event of the change feed."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from nats.aio.msg import Msg
from pydantic import JsonValue, ValidationError
from pydantic_core import from_json

from tallystick.client.versions import Gap, entity_key
from tallystick.messages.base import EVENTS, Event
from tallystick.subjects import EventSubject, Subjects

logger = logging.getLogger("tallystick")


@dataclass
class FeedEvent:
    """Event of the change feed, with the result of its version check."""

    name: EventSubject
    subject: str
    sequence: int
    """Sequence in the stream `BILLING_CHANGE_FEED`."""
    published_at: datetime
    headers: Mapping[str, str]
    """CloudEvents 1.0 attributes (`ce-id`, `ce-type`, …), and `traceparent` if the event is traced."""
    body: Mapping[str, JsonValue]
    """Parsed body, including fields that this version of the package does not know."""
    data: bytes
    """Raw body."""
    entity_key: str | None
    """Entity type and id, `subscription/sub_01h…`; the key of `known_versions`."""
    gap: Gap | None = None
    """Versions of this entity that are missing before this event."""
    late: bool = False
    """The event arrived after a newer version of its entity: it belongs in a history, but must not overwrite
    newer state."""

    @cached_property
    def model(self) -> Event | None:
        """Body as a typed message; None if this version of the package does not know the event."""
        return _typed(self.name, self.data)

    @property
    def entity(self) -> str:
        """Entity type: `subscription`, `invoice`, …"""
        return self.name.entity

    @property
    def customer(self) -> str:
        """Customer token (`organization_acme`), or `platform_catalog` or `platform_monitoring`."""
        return self.name.customer

    @property
    def event(self) -> str:
        """Event name: `created`, `activated`, …"""
        return self.name.event

    @property
    def version(self) -> int:
        """Entity version after the change."""
        version = self.body["version"]
        assert isinstance(version, int)
        return version

    @property
    def snapshot(self) -> Mapping[str, JsonValue]:
        """Complete entity after the change."""
        snapshot = self.body.get(self.entity)
        return snapshot if isinstance(snapshot, dict) else {}


def read_event(message: Msg, subjects: Subjects) -> FeedEvent:
    """Parse a message of the feed; raises ValueError when it is not an event."""
    name = subjects.parse_event(message.subject)
    body = from_json(message.data)
    if not isinstance(body, dict) or not isinstance(body.get("version"), int):
        raise ValueError("the body is not an object with a version")
    metadata = message.metadata
    return FeedEvent(
        name=name,
        subject=message.subject,
        sequence=metadata.sequence.stream,
        published_at=metadata.timestamp,
        headers=message.headers or {},
        body=body,
        data=message.data,
        entity_key=entity_key(name.entity, body),
    )


def _typed(name: EventSubject, data: bytes) -> Event | None:
    model = EVENTS.get((name.entity, name.schema))
    if model is None:
        return None
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        logger.warning(
            "an event %s of %s has a form this version does not know: %s", name.event, name.entity, error
        )
        return None
