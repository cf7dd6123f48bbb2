"""Machines that are not there any more: their places become free once their last file has ended for good."""

from datetime import datetime

import sqlalchemy as sa

from services.licenses.activation.activate import free_place
from services.licenses.due_batches import for_each_due
from services.licenses.repository import Activations
from services.licenses.service import service
from services.licenses.state_changes import emit_license
from services.licenses.tables import ActivationRow, LicenseRow
from shared.persistence.unit_of_work import Transactions, UnitOfWork


@service.job("forget_silent_instances")
async def forget_silent_instances(transactions: Transactions, at: datetime) -> None:
    """Deactivate machines without a refresh for the offline days and the grace days of their license."""
    silent = sa.select(ActivationRow.license_id).where(ActivationRow.grace_until <= at)
    due = LicenseRow.license_id.in_(silent)
    await for_each_due(transactions, "forget_silent_instances", at, due, _forget)


async def _forget(work: UnitOfWork, row: LicenseRow, activations: Activations) -> None:
    for activation in [one for one in activations if one.grace_until <= work.now]:
        await free_place(work, activations, activation)
        emit_license(work, row, activations, "deactivated")
