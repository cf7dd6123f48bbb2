"""Check, before `subscriptions` sells fewer seats, that they are enough for the machines.

Its outcome is stored, so that a change that is run again after a crash gets the same answer, whatever the
machines have reported meanwhile.
"""

from services.licenses.domain.places import is_enough
from services.licenses.rejections import seats_in_use
from services.licenses.repository import lock_license_where, reported_members
from services.licenses.service import service
from services.licenses.tables import LicenseRow
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import licenses as m


@service.command(m.ConfirmLicenseSeats)
async def confirm_license_seats(work: UnitOfWork, command: m.ConfirmLicenseSeats) -> m.LicenseSeatsConfirmed:
    """Confirm that so many seats are enough; raise Rejected `seats_in_use`."""
    found = await lock_license_where(
        work, LicenseRow.subscription_id == command.subscription_id, LicenseRow.ended_at.is_(None)
    )
    if found is None:
        return m.LicenseSeatsConfirmed(license_id=None)
    row, activations = found
    members = reported_members(activations)
    # The caller asks only if the seats become fewer.
    if not is_enough(command.quantity, members=members, current=None):
        raise seats_in_use(members, command.quantity)
    return m.LicenseSeatsConfirmed(license_id=row.license_id)
