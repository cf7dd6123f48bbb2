"""Changes by operators: suspend, restore, revoke."""

from services.licenses.rejections import require_running
from services.licenses.repository import lock_license
from services.licenses.service import service
from services.licenses.snapshots import license_snapshot
from services.licenses.state_changes import emit_license, set_suspension
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import licenses as m


@service.command(m.SuspendLicense)
async def suspend_license(work: UnitOfWork, command: m.SuspendLicense) -> m.LicenseChanged:
    """Suspend a license, unless an operator has; raise Rejected `not_found`, `license_ended`."""
    return await _set_suspension(work, command, suspended=True)


@service.command(m.RestoreLicense)
async def restore_license(work: UnitOfWork, command: m.RestoreLicense) -> m.LicenseChanged:
    """End an operator's suspension; raise Rejected `not_found`, `license_ended`."""
    return await _set_suspension(work, command, suspended=False)


@service.command(m.RevokeLicense)
async def revoke_license(work: UnitOfWork, command: m.RevokeLicense) -> m.LicenseChanged:
    """Revoke a license for good; raise Rejected `not_found`, `license_ended` if it has expired."""
    row, activations = await lock_license(work, command.license_id)
    if row.status == "revoked":
        return m.LicenseChanged(license=license_snapshot(row, activations))
    require_running(row)
    row.status = "revoked"
    row.ended_at = work.now
    row.reason = command.reason
    return m.LicenseChanged(license=emit_license(work, row, activations, "revoked"))


async def _set_suspension(
    work: UnitOfWork, command: m.SuspendLicense | m.RestoreLicense, *, suspended: bool
) -> m.LicenseChanged:
    row, activations = await lock_license(work, command.license_id)
    require_running(row)
    if row.suspended_by_operator == suspended:
        return m.LicenseChanged(license=license_snapshot(row, activations))
    row.reason = command.reason
    # The subscription may suspend it as well; then its status stays the same.
    event = set_suspension(row, by_operator=suspended) or "changed"
    return m.LicenseChanged(license=emit_license(work, row, activations, event))
