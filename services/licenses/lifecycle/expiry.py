"""The end of licenses at their time, and the reminders before it."""

from datetime import datetime, timedelta

from services.licenses.domain.file_times import REMINDER_DAYS, due_reminder
from services.licenses.due_batches import for_each_due
from services.licenses.projections.subscription_projection import end_license
from services.licenses.repository import Activations
from services.licenses.service import service
from services.licenses.state_changes import emit_license
from services.licenses.tables import LicenseRow
from shared.persistence.unit_of_work import Transactions, UnitOfWork


@service.job("expire_licenses")
async def expire_licenses(transactions: Transactions, at: datetime) -> None:
    """End the licenses whose time has come; until then, requests compare with the clock."""
    due = LicenseRow.ended_at.is_(None) & (LicenseRow.expires_at <= at)
    await for_each_due(transactions, "expire_licenses", at, due, _expire)


@service.job("remind_licenses")
async def remind_licenses(transactions: Transactions, at: datetime) -> None:
    """Remind of the end of licenses, 14, 7 and 1 days before it."""
    due = LicenseRow.ended_at.is_(None) & (
        LicenseRow.expires_at <= at + timedelta(days=float(REMINDER_DAYS[0]))
    )
    await for_each_due(transactions, "remind_licenses", at, due, _remind)


async def _expire(work: UnitOfWork, row: LicenseRow, activations: Activations) -> None:
    end_license(work, row, activations)


async def _remind(work: UnitOfWork, row: LicenseRow, activations: Activations) -> None:
    if row.expires_at is None:
        return
    days = due_reminder(work.now, row.expires_at, row.reminded_days)
    if days is not None:
        row.reminded_days = days
        emit_license(work, row, activations, "expiring")
