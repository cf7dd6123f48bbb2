"""Public names of the client."""

from tallystick.client.client import Client, connect
from tallystick.client.command_queue import Queued
from tallystick.client.entitlements import EntitlementsMirror, MirroredEntitlement
from tallystick.client.errors import (
    CommandRejected,
    ConsumerMismatch,
    DeadlineExceeded,
    FeedGap,
    NotProvisioned,
    QuestionRejected,
    QueueRefused,
    Rejected,
    TallystickError,
    UnexpectedReply,
    Unreachable,
)
from tallystick.client.feed import Feed
from tallystick.client.feed_events import FeedEvent
from tallystick.client.versions import Gap

__all__ = [
    "Client",
    "CommandRejected",
    "ConsumerMismatch",
    "DeadlineExceeded",
    "EntitlementsMirror",
    "Feed",
    "FeedEvent",
    "FeedGap",
    "Gap",
    "MirroredEntitlement",
    "NotProvisioned",
    "QuestionRejected",
    "QueueRefused",
    "Queued",
    "Rejected",
    "TallystickError",
    "UnexpectedReply",
    "Unreachable",
    "connect",
]
