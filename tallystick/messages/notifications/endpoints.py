"""Webhook endpoints and deliveries: snapshots, commands, questions and events."""

import re
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from tallystick.messages.base import (
    EVENTS,
    URL_MAX_CHARACTERS,
    Command,
    Customer,
    Email,
    EntityId,
    Event,
    Instant,
    Page,
    PositiveCount,
    Question,
    Text,
    TolerantModel,
)
from tallystick.messages.notifications.mails import NotificationSnapshot
from tallystick.messages.notifications.types import SERVICE, Attempts, Kind
from tallystick.subjects import NOTIFICATIONS_TOKEN

PATTERNS_MAX = 50
REDELIVER_MAX_EVENTS = 500
"""Events that one command sends again; more take several commands."""
TEST_TYPE = "endpoint.test"
"""Type of the event that a test sends; every endpoint gets it, whatever its patterns are."""
_PATTERN = re.compile(r"(?P<entity>[a-z_]{1,32})\.(?P<event>\*|[A-Za-z]{1,40})")


def _check_pattern(pattern: str) -> str:
    if pattern == "*":
        return pattern
    found = _PATTERN.fullmatch(pattern)
    event = EVENTS.get((found["entity"], 1)) if found else None
    if found is None or event is None or found["event"] not in ("*", *event.names):
        raise ValueError("is neither * nor an event such as subscription.* or invoice.paid")
    return pattern


Pattern = Annotated[str, StringConstraints(max_length=80), AfterValidator(_check_pattern)]
"""`*`, all events of an entity (`subscription.*`), or one event (`invoice.paid`)."""
Patterns = Annotated[list[Pattern], Field(min_length=1, max_length=PATTERNS_MAX)]
EndpointUrl = Annotated[
    str, StringConstraints(min_length=1, max_length=URL_MAX_CHARACTERS, pattern=r"^[^\x00]+$")
]
EventId = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00]+$")]
DeliveryStatus = Literal["pending", "succeeded", "failed"]


class EndpointSnapshot(TolerantModel):
    """Snapshot of a webhook endpoint. It never contains a secret."""

    endpoint_id: EntityId
    version: PositiveCount
    customer: Customer | None = Field(description="Whose events it gets; null: those of all customers.")
    url: str
    events: list[str] = Field(description="Patterns of the events it gets.")
    description: str | None
    status: Literal["enabled", "disabled", "deleted"]
    reason: str | None = Field(description="Reason why it is disabled.")
    failing_since: Instant | None = Field(description="First failure since the last success.")
    previous_secret_until: Instant | None = Field(description="Until then the previous secret signs, too.")
    created_at: Instant


class DeliverySnapshot(TolerantModel):
    """An event on its way to an endpoint."""

    delivery_id: EntityId
    endpoint_id: EntityId
    event_id: str
    type: str = Field(description="Type of the event, such as `invoice.paid`.")
    status: DeliveryStatus
    attempts: Attempts
    next_attempt_at: Instant | None = Field(description="Next attempt, while it is pending.")
    last_attempt_at: Instant | None
    response_status: int | None = Field(description="HTTP status of the last answer; null: there was none.")
    duration_ms: int | None = Field(description="Duration of the last attempt.")
    response_body: str | None = Field(description="First kilobyte of the last answer.")
    last_error: str | None = Field(description="Problem of the last attempt.")
    created_at: Instant


class EndpointFound(TolerantModel):
    """An endpoint after the command."""

    endpoint: EndpointSnapshot


class EndpointWithSecret(TolerantModel):
    """An endpoint with its new signing secret."""

    endpoint: EndpointSnapshot
    secret: str | None = Field(default=None, description="Signing secret, `whsec_…`; shown once.")


class EndpointPage(TolerantModel):
    """Page of endpoints, newest first."""

    items: list[EndpointSnapshot]
    next_cursor: str | None = None


class DeliveryPage(TolerantModel):
    """Page of deliveries, newest first."""

    items: list[DeliverySnapshot]
    next_cursor: str | None = None


class Deliveries(TolerantModel):
    """Deliveries that are sent again."""

    deliveries: list[DeliverySnapshot]


class TestSent(TolerantModel):
    """The delivery or notification of a test."""

    __test__: ClassVar[bool] = False

    delivery: DeliverySnapshot | None = None
    notification: NotificationSnapshot | None = None


class CreateEndpoint(
    Command[EndpointWithSecret], service=SERVICE, rejections=("endpoint_url_refused", "too_many_endpoints")
):
    """Create a webhook endpoint. Its secret is in the result, and nowhere else."""

    url: EndpointUrl
    events: Patterns
    customer: Customer | None = Field(default=None, description="Absent: it gets every customer's events.")
    description: Text | None = None


class UpdateEndpoint(Command[EndpointFound], service=SERVICE, rejections=("endpoint_url_refused",)):
    """Change an endpoint; what is absent stays as it is. `enabled: true` ends a suspension."""

    endpoint_id: EntityId
    url: EndpointUrl | None = None
    events: Patterns | None = None
    description: Text | None = None
    enabled: bool | None = None


class DeleteEndpoint(Command[EndpointFound], service=SERVICE):
    """Delete an endpoint; nothing more is sent to it."""

    endpoint_id: EntityId


class RotateEndpointSecret(Command[EndpointWithSecret], service=SERVICE):
    """Give an endpoint a new secret; the old one signs, too, for 24 hours."""

    endpoint_id: EntityId


class Redeliver(Command[Deliveries], service=SERVICE):
    """Send events to an endpoint again: the named ones, or those since a time, at most 500."""

    endpoint_id: EntityId
    event_ids: Annotated[list[EventId], Field(min_length=1, max_length=REDELIVER_MAX_EVENTS)] | None = None
    since: Instant | None = None

    @model_validator(mode="after")
    def _require_one(self) -> "Redeliver":
        if (self.event_ids is None) == (self.since is None):
            raise ValueError("give either event_ids or since")
        return self


class SendTest(Command[TestSent], service=SERVICE, rejections=("invalid_email",)):
    """Send a test event to an endpoint, or a mail with sample data to an address."""

    endpoint_id: EntityId | None = None
    kind: Kind | None = None
    customer: Customer | None = None
    email: Email | None = None

    @model_validator(mode="after")
    def _require_one(self) -> "SendTest":
        mail = (self.kind, self.customer, self.email)
        if self.endpoint_id is not None and mail == (None, None, None):
            return self
        if self.endpoint_id is None and None not in mail:
            return self
        raise ValueError("give either endpoint_id, or kind, customer and email")


class ListEndpoints(Page, Question[EndpointPage], service=SERVICE):
    """List endpoints, newest first."""

    customer: Customer | None = Field(default=None, description="Absent: all endpoints.")


class ListDeliveries(Page, Question[DeliveryPage], service=SERVICE, rejections=("not_found",)):
    """List the deliveries to an endpoint, newest first; they are kept for 30 days."""

    endpoint_id: EntityId
    status: DeliveryStatus | None = None


class EndpointEvent(
    Event,
    service=SERVICE,
    entity="endpoint",
    names=("created", "updated", "disabled", "deleted"),
    platform_token=NOTIFICATIONS_TOKEN,
):
    """A webhook endpoint changed."""

    endpoint: EndpointSnapshot
