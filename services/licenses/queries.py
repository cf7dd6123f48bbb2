"""Questions about licenses."""

from services.licenses.domain.file_times import validity_at
from services.licenses.issuing.license_keys import hash_entered, unknown_key
from services.licenses.repository import find_license, load_activations, load_licenses
from services.licenses.service import service
from services.licenses.snapshots import license_snapshot, state_of
from services.licenses.tables import ActivationRow
from shared.errors import Rejected
from shared.persistence.cursors import decode_cursor, encode_cursor
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import licenses as m


@service.question(m.GetLicense)
async def get_license(work: UnitOfWork, question: m.GetLicense) -> m.LicenseFound:
    """Find a license; raise Rejected `not_found`, `license_key_invalid`."""
    key = question.license_key
    row = await find_license(
        work.session,
        license_id=question.license_id,
        key_hash=hash_entered(key) if key is not None else None,
        subscription_id=question.subscription_id,
    )
    if row is None and key is not None:
        raise unknown_key(key)
    if row is None:
        raise Rejected("not_found", "There is no such license.", question.model_dump(exclude_none=True))
    activations = await load_activations(work.session, [row.license_id])
    return m.LicenseFound(license=license_snapshot(row, activations.get(row.license_id, [])))


@service.question(m.ListLicenses)
async def list_licenses(work: UnitOfWork, question: m.ListLicenses) -> m.LicensePage:
    """List a page of licenses, newest first."""
    rows = await load_licenses(
        work.session,
        customer=question.customer,
        status=question.status,
        search=question.search,
        before=decode_cursor(question.cursor, 1)[0] if question.cursor is not None else None,
        limit=question.limit + 1,
    )
    page = rows[: question.limit]
    activations = await load_activations(work.session, [row.license_id for row in page])
    return m.LicensePage(
        items=[license_snapshot(row, activations.get(row.license_id, [])) for row in page],
        next_cursor=encode_cursor(page[-1].license_id) if len(rows) > len(page) else None,
    )


@service.question(m.ValidateLicense)
async def validate_license(work: UnitOfWork, question: m.ValidateLicense) -> m.LicenseValidity:
    """Say what a license is worth for a machine now; raise Rejected `license_key_invalid`."""
    key_hash = hash_entered(question.license_key)
    row = await find_license(work.session, license_id=None, key_hash=key_hash, subscription_id=None)
    if row is None:
        raise unknown_key(question.license_key)
    activation = await work.session.get(ActivationRow, (row.license_id, question.instance_id))
    status, until = validity_at(work.now, state_of(row, is_activated=activation is not None))
    return m.LicenseValidity(status=status, until=until, seats=row.seats, features=row.features)
