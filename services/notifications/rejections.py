"""Rejections that several use cases raise."""

from services.notifications.tables import NotificationRow
from shared.errors import Rejected
from shared.persistence.unit_of_work import UnitOfWork


async def require_notification(work: UnitOfWork, notification_id: str) -> NotificationRow:
    """Return a notification's row; raises Rejected `not_found`."""
    row = await work.session.get(NotificationRow, notification_id)
    if row is None:
        raise Rejected("not_found", f"There is no notification {notification_id}.")
    return row
