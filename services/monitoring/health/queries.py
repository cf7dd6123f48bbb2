"""The question about health."""

from nats.js.api import StreamInfo

from services.monitoring.domain.alarms import worst
from services.monitoring.domain.rounding import percent
from services.monitoring.health.alarms import load_raised
from services.monitoring.health.jetstream import JetStreamMonitor, JetStreamState
from services.monitoring.health.vitals import load_vitals
from services.monitoring.service import service
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import monitoring as m


@service.question(m.GetHealth)
async def get_health(work: UnitOfWork, _: m.GetHealth, jetstream: JetStreamMonitor) -> m.Health:
    """Return the health of the installation; raises Unavailable if JetStream does not answer."""
    vitals = await load_vitals(work, jetstream)
    services, alarms = vitals.services(), await load_raised(work)
    return m.Health(
        status=worst([alarm.severity for alarm in alarms], all_ready=all(each.ready for each in services)),
        services=services,
        database=vitals.database,
        streams=sorted(map(_stream, vitals.jetstream.streams), key=lambda stream: stream.stream),
        alarms=alarms,
        followed=_followed(vitals.jetstream),
    )


def _stream(info: StreamInfo) -> m.StreamHealth:
    limit = info.config.max_bytes or 0
    return m.StreamHealth(
        stream=info.config.name or "",
        messages=info.state.messages,
        bytes=info.state.bytes,
        full_percent=percent(info.state.bytes, limit, 1) if limit > 0 else None,
    )


def _followed(state: JetStreamState) -> m.FollowedFeed:
    own = state.own_feed
    pending = (own.num_pending or 0) + (own.num_ack_pending or 0) if own is not None else 0
    return m.FollowedFeed(
        pending=pending,
        last_event_at=own.ack_floor.last_active if own is not None and own.ack_floor is not None else None,
        caught_up=own is not None and not pending,
    )
