"""Daily snapshots of the installation, and resources that the host application reports."""

from datetime import date
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from tallystick.messages.base import (
    Amount,
    Code,
    Command,
    Count,
    Currency,
    EntityId,
    Event,
    Instant,
    Page,
    PositiveCount,
    Question,
    TolerantModel,
)
from tallystick.messages.monitoring.types import SERVICE, Percent, ResourceValue
from tallystick.messages.subscriptions.types import Status
from tallystick.subjects import MONITORING_TOKEN

Unit = Annotated[str, StringConstraints(min_length=1, max_length=20, pattern=r"^[^\x00]*$")]
"""Unit of a reported resource, such as `GB`."""


def _parse_day(day: object) -> object:
    return date.fromisoformat(day) if isinstance(day, str) and len(day) == len("2026-02-01") else day


Day = Annotated[date, BeforeValidator(_parse_day)]
"""A day in UTC, `2026-02-01`."""


class SeatCounts(TolerantModel):
    """Seats of all open teams."""

    capacity: Count = Field(description="Seats bought, plus free seats of owners.")
    occupied: Count = Field(description="Pending and claimed seats, plus seats of owners.")
    pending: Count = Field(description="Invitations that are not claimed yet.")
    claimed: Count = Field(description="Seats that members have claimed.")


class FeatureUse(TolerantModel):
    """Units of one feature over all accounts."""

    kind: Literal["limit", "consumable"]
    actual: Count = Field(
        description="Units in use (`limit`) or used of the running grants (`consumable`) in finite accounts."
    )
    theoretical_limit: Count = Field(
        description="Units that finite accounts may have in use, or were granted."
    )
    unlimited_accounts: Count = Field(description="Accounts without a limit; not part of the other figures.")
    unlimited_actual: Count = Field(description="Units in use, or used so far, in unlimited accounts.")


class ResourceReading(TolerantModel):
    """Value of a resource that the host application reported."""

    resource: Code
    value: ResourceValue
    unit: Unit | None
    at: Instant = Field(description="Time of the measurement.")


class Snapshot(TolerantModel):
    """Figures of the whole installation on one UTC day."""

    snapshot_id: EntityId
    version: PositiveCount = Field(description="1, and one more each time the day's snapshot was replaced.")
    day: Day
    captured_at: Instant
    customers: Count = Field(description="Registered customers.")
    subscriptions: dict[Status, Count] = Field(description="Subscriptions by status; ended ones included.")
    products: dict[str, Count] = Field(
        description="Running subscriptions by product code; `custom` for products outside the catalog."
    )
    unlimited: dict[str, Count] = Field(
        description="Running subscriptions that include a feature without a limit, by feature code."
    )
    add_ons: Count = Field(description="Running add-ons.")
    seats: SeatCounts
    mrr: dict[Currency, Amount] = Field(description="Monthly recurring revenue by currency, in minor units.")
    customer_churn_percent: dict[Currency, Percent | None] = Field(
        default={}, description="Customers who left within 30 days, in percent of those who paid before."
    )
    features: dict[str, FeatureUse] | None = Field(
        description="Totals by feature code; null: `consumables` did not answer."
    )
    resources: dict[str, ResourceReading] = Field(description="Newest reading of each resource by then.")


class SnapshotCaptured(TolerantModel):
    """Snapshot after the command."""

    snapshot: Snapshot


class SnapshotPage(TolerantModel):
    """Page of snapshots, newest first."""

    items: list[Snapshot]
    next_cursor: str | None = None


class ResourceReported(TolerantModel):
    """Resource after the command."""

    resource: ResourceReading


class CaptureSnapshot(Command[SnapshotCaptured], service=SERVICE):
    """Capture the snapshot of a UTC day; again on the same day replaces it."""

    at: Instant | None = Field(
        default=None, description="Moment whose day is captured, not in the future; absent: now."
    )


class ReportResource(Command[ResourceReported], service=SERVICE):
    """Report a figure that only the host application knows; it joins snapshots and trends."""

    resource: Code = Field(description="Code of the resource, such as `storage` or `shops`.")
    value: ResourceValue
    unit: Unit | None = None
    at: Instant | None = Field(default=None, description="Time of the measurement; absent: now.")


class ListSnapshots(Page, Question[SnapshotPage], service=SERVICE):
    """List snapshots, newest first."""

    since: Instant | None = Field(default=None, description="Snapshots of this moment's day and later.")
    until: Instant | None = Field(
        default=None, description="Snapshots of days that began before this moment."
    )


class SnapshotEvent(
    Event, service=SERVICE, entity="snapshot", names=("captured",), platform_token=MONITORING_TOKEN
):
    """The snapshot of a day was captured, or captured again."""

    snapshot: Snapshot
