"""State changes of licenses with their events; no other module writes these events.

The caller has locked the license's row, so versions are consecutive.
"""

from collections.abc import Sequence

from services.licenses.domain.license_terms import LicenseTerms
from services.licenses.domain.licenses import Activation, License
from services.licenses.snapshots import license_snapshot, terms_of
from services.licenses.tables import ActivationRow, LicenseRow
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import licenses as m


def emit_license(
    work: UnitOfWork,
    row: LicenseRow | License,
    activations: Sequence[ActivationRow | Activation],
    event: str,
    *,
    caused_by: str | None = None,
) -> m.LicenseSnapshot:
    """Increment a license's version, emit an event with its snapshot, and return the snapshot."""
    row.version += 1
    snapshot = license_snapshot(row, activations)
    work.emit(
        m.LicenseEvent,
        event,
        customer=snapshot.customer,
        version=row.version,
        caused_by=caused_by,
        license=snapshot,
    )
    return snapshot


def set_terms(row: LicenseRow, terms: LicenseTerms) -> bool:
    """Write the terms of a license; return whether they differ."""
    if terms_of(row) == terms:
        return False
    if terms.expires_at != row.expires_at:
        row.reminded_days = None
    row.product = terms.product
    row.seats = terms.seats
    row.features = terms.features
    row.instances = terms.instances
    row.grace_days = terms.grace_days
    row.offline_days = terms.offline_days
    row.expires_at = terms.expires_at
    return True


def set_suspension(
    row: LicenseRow, *, by_operator: bool | None = None, by_subscription: bool | None = None
) -> str | None:
    """Write who suspends a license; return the event to emit, or None if its status stays the same."""
    if by_operator is not None:
        row.suspended_by_operator = by_operator
    if by_subscription is not None:
        row.suspended_by_subscription = by_subscription
    suspended = row.suspended_by_operator or row.suspended_by_subscription
    before, row.status = row.status, "suspended" if suspended else "active"
    if before == row.status:
        return None
    return "suspended" if suspended else "restored"
