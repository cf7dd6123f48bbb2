"""Activation and deactivation of machines, each in one transaction with the license locked."""

from services.licenses.domain.licenses import License
from services.licenses.domain.places import has_room, silent_places
from services.licenses.issuing.license_keys import hash_entered, unknown_key
from services.licenses.repository import Activations, lock_license, lock_license_where
from services.licenses.service import service
from services.licenses.signing.license_files import issue_file
from services.licenses.signing.signing_keys import SigningKeys
from services.licenses.snapshots import activation_snapshot, license_snapshot, place_of
from services.licenses.state_changes import emit_license
from services.licenses.tables import ActivationRow, LicenseRow
from shared.errors import Rejected
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import licenses as m


@service.command(m.ActivateLicense)
async def activate_license(
    work: UnitOfWork, command: m.ActivateLicense, keys: SigningKeys
) -> m.LicenseActivated:
    """Activate a license on a machine and issue its file; an error at any point leaves nothing behind.

    Raises Rejected `license_key_invalid`, `not_found`, `license_in_use`, `license_expired`,
    `license_suspended`, `license_revoked`.
    """
    row, activations = await lock_presented(work, command.license_key, command.license_id)
    require_usable(work, row)
    pair = await keys.active(work)
    found = _activation_of(activations, command.instance.instance_id)
    activation = found or await _occupy_place(work, row, activations, command.instance)
    activation.name = command.instance.name or activation.name
    activation.software_version = command.instance.version or activation.software_version
    license_file = issue_file(pair, row, activation, work.now)
    if found is None:
        snapshot = emit_license(work, row, activations, "activated")
    else:
        snapshot = license_snapshot(row, activations)
    return m.LicenseActivated(
        license=snapshot, activation=activation_snapshot(activation), license_file=license_file
    )


@service.command(m.DeactivateLicense)
async def deactivate_license(work: UnitOfWork, command: m.DeactivateLicense) -> m.LicenseFound:
    """Free a machine's place unless it is free; raise Rejected `license_key_invalid`, `not_found`."""
    row, activations = await lock_presented(work, command.license_key, command.license_id)
    activation = _activation_of(activations, command.instance_id)
    if activation is None:
        return m.LicenseFound(license=license_snapshot(row, activations))
    await free_place(work, activations, activation)
    return m.LicenseFound(license=emit_license(work, row, activations, "deactivated"))


async def lock_presented(
    work: UnitOfWork, license_key: str | None, license_id: str | None
) -> tuple[LicenseRow, Activations]:
    """Lock the license of a key or id; raise Rejected `license_key_invalid` or `not_found`."""
    if license_id is not None:
        return await lock_license(work, license_id)
    entered = license_key or ""
    found = await lock_license_where(work, LicenseRow.key_hash == hash_entered(entered))
    if found is None:
        raise unknown_key(entered)
    return found


def require_usable(work: UnitOfWork, row: LicenseRow | License) -> None:
    """Check that files may be issued.

    Raises Rejected `license_revoked`, `license_expired`, `license_suspended`.
    """
    if row.status == "revoked":
        raise Rejected("license_revoked", "The license has been revoked.", {"license_id": row.license_id})
    if row.status == "expired" or (row.expires_at is not None and row.expires_at <= work.now):
        raise Rejected("license_expired", "The license has ended.", {"license_id": row.license_id})
    if row.status == "suspended":
        raise Rejected("license_suspended", "The license is suspended.", {"license_id": row.license_id})


async def free_place(work: UnitOfWork, activations: Activations, activation: ActivationRow) -> None:
    """Remove an activation; the caller emits the event."""
    activations.remove(activation)
    await work.session.delete(activation)


async def _occupy_place(
    work: UnitOfWork, row: LicenseRow, activations: Activations, instance: m.Instance
) -> ActivationRow:
    """Add an activation, in the place of a silent machine if no other is free; raise Rejected."""
    places = [place_of(activation) for activation in activations]
    if not has_room(places, row.instances, work.now):
        raise Rejected(
            "license_in_use",
            "The license is activated on as many machines as it allows. Deactivate one first.",
            {"instances": [activation.instance_id for activation in activations], "allowed": row.instances},
        )
    if len(activations) >= row.instances:
        for instance_id in silent_places(places, work.now):
            silent = _activation_of(activations, instance_id)
            if silent is not None:
                await free_place(work, activations, silent)
                emit_license(work, row, activations, "deactivated")
    activation = ActivationRow(
        license_id=row.license_id,
        instance_id=instance.instance_id,
        activated_at=work.now,
        members=None,
    )
    work.session.add(activation)
    activations.append(activation)
    return activation


def _activation_of(activations: Activations, instance_id: str) -> ActivationRow | None:
    return next((one for one in activations if one.instance_id == instance_id), None)
