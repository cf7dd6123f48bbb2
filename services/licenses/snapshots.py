"""Conversion of rows to the snapshots of messages and to the types of the domain."""

from collections.abc import Sequence

from services.licenses.domain.file_times import LicenseState
from services.licenses.domain.license_terms import LicenseTerms
from services.licenses.domain.licenses import Activation, License
from services.licenses.domain.places import Place
from services.licenses.tables import ActivationRow, LicenseRow
from tallystick.messages import licenses as m
from tallystick.messages.base import Customer


def license_snapshot(
    row: LicenseRow | License, activations: Sequence[ActivationRow | Activation]
) -> m.LicenseSnapshot:
    """Build the snapshot of a license for results, events and answers, without its key."""
    return m.LicenseSnapshot(
        license_id=row.license_id,
        version=row.version,
        customer=Customer.from_token(row.customer),
        subscription_id=row.subscription_id,
        product=row.product,
        status=row.status,  # type: ignore[arg-type] # a constraint of the table
        seats=row.seats,
        features=row.features,
        instances=row.instances,
        activations=[activation_snapshot(activation) for activation in activations],
        grace_days=row.grace_days,
        offline_days=row.offline_days,
        expires_at=row.expires_at,
        suspended=row.suspended_by_operator or row.suspended_by_subscription,
        key_hint=row.key_hint,
        key_number=row.key_number,
        key_shown=row.key_shown,
        reason=row.reason,
        issued_at=row.issued_at,
        ended_at=row.ended_at,
    )


def activation_snapshot(row: ActivationRow | Activation) -> m.ActivationSnapshot:
    """Build the snapshot of an activated machine."""
    return m.ActivationSnapshot(
        instance_id=row.instance_id,
        name=row.name,
        version=row.software_version,
        activated_at=row.activated_at,
        refreshed_at=row.refreshed_at,
        members=row.members,
        not_after=row.not_after,
        grace_until=row.grace_until,
    )


def terms_of(row: LicenseRow) -> LicenseTerms:
    """Return the terms of a license."""
    return LicenseTerms(
        product=row.product,
        seats=row.seats,
        features=row.features,
        instances=row.instances,
        grace_days=row.grace_days,
        offline_days=row.offline_days,
        expires_at=row.expires_at,
    )


def state_of(row: LicenseRow, *, is_activated: bool) -> LicenseState:
    """Return what decides what a license is worth for a machine."""
    return LicenseState(
        status=row.status,  # type: ignore[arg-type] # a constraint of the table
        expires_at=row.expires_at,
        ended_at=row.ended_at,
        grace_days=row.grace_days,
        offline_days=row.offline_days,
        is_activated=is_activated,
    )


def place_of(row: ActivationRow) -> Place:
    """Return the place that a machine occupies."""
    return Place(row.instance_id, row.grace_until)
