"""Messages of `monitoring`: snapshots, capacity, trends, revenue, health and alarms."""

from tallystick.messages.monitoring.snapshots import (
    CaptureSnapshot,
    Day,
    FeatureTotals,
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
from tallystick.messages.monitoring.types import SERVICE

__all__ = [
    "SERVICE",
    "CaptureSnapshot",
    "Day",
    "FeatureTotals",
    "ListSnapshots",
    "ReportResource",
    "ResourceReading",
    "ResourceReported",
    "SeatCounts",
    "Snapshot",
    "SnapshotCaptured",
    "SnapshotEvent",
    "SnapshotPage",
]
