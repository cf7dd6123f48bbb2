"""Health of the services, streams and database, and alarms."""

from typing import Literal

from pydantic import Field

from tallystick.messages.base import Count, EntityId, Event, Instant, PositiveCount, Question, TolerantModel
from tallystick.messages.monitoring.capacity import Severity
from tallystick.messages.monitoring.types import SERVICE, Percent
from tallystick.subjects import MONITORING_TOKEN


class ServiceVitals(TolerantModel):
    """Health of one service."""

    service: str
    ready: bool = Field(description="Whether a worker reads each of its consumers.")
    consumer_lag: Count = Field(description="Messages that wait for it, over all its consumers.")
    outbox_lag_seconds: float = Field(description="Age of its oldest event that is not published; 0: none.")
    dead_letters: Count = Field(description="Messages that it gave up.")
    unfinished_calls: Count = Field(
        description="Commands that call Stripe or another service and are overdue."
    )


class DatabaseHealth(TolerantModel):
    """Size and use of the database."""

    bytes: Count
    connections: Count
    max_connections: Count


class StreamHealth(TolerantModel):
    """Contents of one JetStream stream or bucket."""

    stream: str
    messages: Count
    bytes: Count
    full_percent: Percent | None = Field(description="Share of the bytes it may hold; null: no limit.")


class Alarm(TolerantModel):
    """An alarm: a rule of `deploy/alarms.yaml` that holds, or held, for one thing."""

    alarm_id: EntityId
    version: PositiveCount
    rule: str = Field(description="Name of the rule.")
    about: str | None = Field(description="Feature, service, consumer or currency; null: the installation.")
    severity: Severity
    status: Literal["raised", "cleared"]
    value: float = Field(description="Measured when it was raised or cleared.")
    threshold: float
    title: str
    action: str
    raised_at: Instant
    cleared_at: Instant | None


class FollowedFeed(TolerantModel):
    """How far monitoring has come with the events of the other services."""

    pending: Count = Field(description="Events that it has not applied yet.")
    last_event_at: Instant | None = Field(description="Time of the newest event applied; null: none yet.")
    caught_up: bool


class Health(TolerantModel):
    """Answer to `get_health`."""

    status: Literal["healthy", "degraded", "critical"]
    services: list[ServiceVitals]
    database: DatabaseHealth
    streams: list[StreamHealth]
    alarms: list[Alarm] = Field(description="Alarms that are raised, the most severe first.")
    followed: FollowedFeed


class GetHealth(Question[Health], service=SERVICE):
    """Get the health of the installation. `critical`: a service is not ready, or an alarm says so."""


class AlarmEvent(
    Event, service=SERVICE, entity="alarm", names=("raised", "cleared"), platform_token=MONITORING_TOKEN
):
    """An alarm was raised, once, or cleared, once."""

    alarm: Alarm
