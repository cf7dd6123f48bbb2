"""Messages of `monitoring`: snapshots, capacity, trends, revenue, health and alarms."""

from tallystick.messages.monitoring.revenue import GetRevenue, Revenue, RevenuePeriod
from tallystick.messages.monitoring.snapshots import (
    CaptureSnapshot,
    Day,
    FeatureUse,
    ListSnapshots,
    ReportResource,
    ResourceReading,
    ResourceReported,
    SeatCounts,
    Snapshot,
    SnapshotCaptured,
    SnapshotEvent,
    SnapshotPage,
)
from tallystick.messages.monitoring.types import SERVICE, By

__all__ = [
    "SERVICE",
    "By",
    "CaptureSnapshot",
    "Day",
    "FeatureUse",
    "GetRevenue",
    "ListSnapshots",
    "ReportResource",
    "ResourceReading",
    "ResourceReported",
    "Revenue",
    "RevenuePeriod",
    "SeatCounts",
    "Snapshot",
    "SnapshotCaptured",
    "SnapshotEvent",
    "SnapshotPage",
]
