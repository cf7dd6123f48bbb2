"""Checks of streams, buckets and consumers: missing, full or lagging."""

import nats.errors
from nats.js import JetStreamContext, api
from nats.js.errors import APIError, NotFoundError

from tallystick.cli.checks.findings import Finding, Level
from tallystick.client import Client
from tallystick.messages import COMMANDS
from tallystick.subjects import (
    BALANCES_BUCKET,
    CHANGE_FEED_STREAM,
    COMMANDS_STREAM,
    DEAD_LETTERS_STREAM,
    ENTITLEMENTS_BUCKET,
    OUTGOING_EVENTS_STREAM,
    SCHEDULES_STREAM,
    SERVICE_FEED_STREAM,
    SESSIONS_BUCKET,
    STRIPE_EVENTS_STREAM,
    TICKS_STREAM,
    WEBHOOKS_STREAM,
)

STREAMS = (
    COMMANDS_STREAM,
    CHANGE_FEED_STREAM,
    SERVICE_FEED_STREAM,
    OUTGOING_EVENTS_STREAM,
    SCHEDULES_STREAM,
    TICKS_STREAM,
    WEBHOOKS_STREAM,
    STRIPE_EVENTS_STREAM,
    DEAD_LETTERS_STREAM,
    f"KV_{ENTITLEMENTS_BUCKET}",
    f"KV_{BALANCES_BUCKET}",
    f"KV_{SESSIONS_BUCKET}",
)
CONSUMERS = {
    COMMANDS_STREAM: tuple(f"{service}-commands" for service in sorted({service for service, _ in COMMANDS})),
    SERVICE_FEED_STREAM: (
        "consumables-feed",
        "licenses-feed",
        "monitoring-feed",
        "notifications-feed",
        "payouts-feed",
        "seats-feed",
        "subscriptions-feed",
    ),
    TICKS_STREAM: (
        "consumables-ticks",
        "licenses-ticks",
        "monitoring-ticks",
        "notifications-ticks",
        "payouts-ticks",
        "seats-ticks",
        "subscriptions-ticks",
        "webhooks-ticks",
    ),
    OUTGOING_EVENTS_STREAM: ("notifications-outgoing",),
    WEBHOOKS_STREAM: ("webhooks-ingress",),
    STRIPE_EVENTS_STREAM: ("payouts-stripe-events", "subscriptions-stripe-events"),
}
"""Durable consumers of the services, by stream."""
LAG_MESSAGES = 1_000
"""A worker processes this many in about a second; a longer backlog is reported."""
FULL_SHARE = 0.8
"""Share of `max_bytes` from which a stream is reported as nearly full."""
PROVISION = "Run `python -m shared.operations.provision` as the owner; `./dev up` does it by itself."


async def examine(client: Client) -> list[Finding]:
    """Check all streams, and the durable consumers of the services."""
    jetstream = client.connection.jetstream()
    findings = []
    for name in STREAMS:
        try:
            info = await jetstream.stream_info(name)
        except NotFoundError:
            findings.append(Finding(Level.BROKEN, name, "is missing", PROVISION))
        except (APIError, nats.errors.Error, TimeoutError):
            advice = "Use the NATS user `admin` or `monitor` to have it checked."
            findings.append(Finding(Level.UNKNOWN, name, "cannot be seen by this user", advice))
        else:
            findings.append(_stream(name, info))
            if name in CONSUMERS:
                findings += await _consumers(jetstream, name)
    return findings


def _stream(name: str, info: api.StreamInfo) -> Finding:
    state, config = info.state, info.config
    detail = f"{state.messages:,} messages, {_size(state.bytes)}"
    if name == DEAD_LETTERS_STREAM and state.messages:
        return Finding(
            Level.ODD, name, detail, "Messages failed for good: `dead-letters list` says which and why."
        )
    limit = config.max_bytes or -1
    if limit > 0 and state.bytes > FULL_SHARE * limit:
        full = f"{detail}: {state.bytes / limit:.0%} of what it may hold"
        if config.discard == api.DiscardPolicy.NEW:
            return Finding(
                Level.BROKEN,
                name,
                full,
                "Publishes are rejected once it is full; see the lagging consumers below.",
            )
        return Finding(
            Level.ODD, name, full, "The oldest messages are deleted first; raise max_bytes to keep more."
        )
    return Finding(Level.GOOD, name, detail)


async def _consumers(jetstream: JetStreamContext, stream: str) -> list[Finding]:
    try:
        consumers = await jetstream.consumers_info(stream)
    except (APIError, nats.errors.Error, TimeoutError):
        return []
    findings = [_consumer(info) for info in sorted(consumers, key=lambda each: each.name)]
    present = {info.name for info in consumers}
    return findings + [
        Finding(Level.BROKEN, f"  {name}", "is missing: its service hears nothing from there", PROVISION)
        for name in CONSUMERS[stream]
        if name not in present
    ]


def _consumer(info: api.ConsumerInfo) -> Finding:
    what = f"  {info.name}"
    waiting, in_progress = info.num_pending or 0, info.num_ack_pending or 0
    detail = f"{waiting:,} waiting, {in_progress:,} in progress"
    if info.num_redelivered:
        detail += f", {info.num_redelivered:,} tried again"
    service = info.name.partition("-")[0]
    if not info.num_waiting and not in_progress:
        return Finding(
            Level.BROKEN,
            what,
            f"{detail}; nobody reads it",
            f"Start the worker: `python -m services.{service}.app`.",
        )
    if waiting > LAG_MESSAGES:
        return Finding(Level.ODD, what, detail, f"{service} is behind: look at its log, or run more of it.")
    return Finding(Level.GOOD, what, detail)


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "KB", "MB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GB"
