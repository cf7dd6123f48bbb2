"""One event of the change feed, taken apart."""

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
    """One change as it was told, and what is odd about it."""

    name: EventSubject
    subject: str
    sequence: int
    """Its place in the stream `BILLING_CHANGE_FEED`."""
    published_at: datetime
    headers: Mapping[str, str]
    """CloudEvents 1.0 attributes (`ce-id`, `ce-type`, …), and `traceparent` where there is one."""
    body: Mapping[str, JsonValue]
    """All that was sent, with fields this version of the package does not know."""
    data: bytes
    """The body as it was sent."""
    entity_key: str | None
    """The entity as one text, `subscription/sub_01h…`; the key of `known_versions`."""
    gap: Gap | None = None
    """The versions of this entity that should have come before and did not."""
    late: bool = False
    """It arrived after a newer version of its entity: add it to a history, but do not let it overwrite
    anything."""

    @cached_property
    def model(self) -> Event | None:
        """The body as a typed message; None where this version of the package does not know the event."""
        return _typed(self.name, self.data)

    @property
    def entity(self) -> str:
        """What kind of thing changed: `subscription`, `invoice`, …"""
        return self.name.entity

    @property
    def customer(self) -> str:
        """Whose it is, as a token (`organization_acme`), or `platform_catalog`."""
        return self.name.customer

    @property
    def event(self) -> str:
        """How it changed: `created`, `activated`, …"""
        return self.name.event

    @property
    def version(self) -> int:
        """The entity's version after the change."""
        version = self.body["version"]
        assert isinstance(version, int)
        return version

    @property
    def snapshot(self) -> Mapping[str, JsonValue]:
        """The whole entity after the change."""
        snapshot = self.body.get(self.entity)
        return snapshot if isinstance(snapshot, dict) else {}


def read_event(message: Msg, subjects: Subjects) -> FeedEvent:
    """The event in a message of the feed; raises ValueError when it is none."""
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
