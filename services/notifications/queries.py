"""Answers to questions about notifications."""

import sqlalchemy as sa

from services.notifications.domain.kinds import sample_facts
from services.notifications.mail.composer import Composer
from services.notifications.rejections import require_notification
from services.notifications.service import service
from services.notifications.snapshots import notification_snapshot
from services.notifications.tables import NotificationRow
from shared.persistence.cursors import decode_cursor, encode_cursor
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import notifications as m


@service.question(m.GetNotification)
async def get_notification(work: UnitOfWork, question: m.GetNotification) -> m.NotificationFound:
    """Return a notification; raises Rejected `not_found`."""
    row = await require_notification(work, question.notification_id)
    return m.NotificationFound(notification=notification_snapshot(row))


@service.question(m.ListNotifications)
async def list_notifications(work: UnitOfWork, question: m.ListNotifications) -> m.NotificationPage:
    """Return a page of notifications, newest first."""
    query = (
        sa.select(NotificationRow).order_by(NotificationRow.notification_id.desc()).limit(question.limit + 1)
    )
    if question.customer is not None:
        query = query.where(NotificationRow.customer == question.customer.token)
    if question.kind is not None:
        query = query.where(NotificationRow.kind == question.kind)
    if question.status is not None:
        query = query.where(NotificationRow.status == question.status)
    if question.since is not None:
        query = query.where(NotificationRow.created_at >= question.since)
    if question.cursor is not None:
        (last,) = decode_cursor(question.cursor, 1)
        query = query.where(NotificationRow.notification_id < last)
    rows = (await work.session.scalars(query)).all()
    shown = rows[: question.limit]
    return m.NotificationPage(
        items=[notification_snapshot(row) for row in shown],
        next_cursor=encode_cursor(shown[-1].notification_id) if len(rows) > question.limit else None,
    )


@service.question(m.Preview)
async def preview(work: UnitOfWork, question: m.Preview, composer: Composer) -> m.MailPreview:
    """Render a mail with sample data."""
    mail = composer.preview(question.kind, question.language, sample_facts(question.kind))
    return m.MailPreview(subject=mail.subject, text=mail.text, html=mail.html)
