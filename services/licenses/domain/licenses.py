"""Licenses and activations as plain data, for refreshing hundreds of them without ORM objects."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(slots=True)
class License:
    """The fields of a license, named, typed and in the order of the columns of its table."""

    license_id: str
    version: int
    customer: str
    """The token of the customer whose license it is."""
    subscription_id: str | None
    product: str
    status: str
    seats: int | None
    features: dict[str, Any]
    instances: int
    grace_days: int
    offline_days: int
    expires_at: datetime | None
    suspended_by_operator: bool
    suspended_by_subscription: bool
    reason: str | None
    key_hash: bytes
    key_hint: str
    key_number: int
    key_shown: bool
    file_sequence: int
    reminded_days: int | None
    issued_at: datetime
    ended_at: datetime | None


@dataclass(slots=True)
class Activation:
    """The fields of an activated machine, likewise."""

    license_id: str
    instance_id: str
    name: str | None
    software_version: str | None
    activated_at: datetime
    refreshed_at: datetime
    members: int | None
    not_after: datetime
    grace_until: datetime
