"""Notifications sent by mail: snapshots, commands, questions and events."""

from pydantic import Field

from tallystick.messages.base import (
    Command,
    Count,
    Customer,
    EntityId,
    Event,
    Instant,
    Page,
    Question,
    TolerantModel,
)
from tallystick.messages.notifications.types import (
    SERVICE,
    Attempts,
    Cause,
    Kind,
    Language,
    NotificationStatus,
    SuppressionReason,
)
from tallystick.subjects import NOTIFICATIONS_TOKEN


class NotificationSnapshot(TolerantModel):
    """Snapshot of a notification. It contains neither the mail nor a token or secret."""

    notification_id: EntityId
    version: Count = Field(description="0 while it is queued for the first time.")
    kind: Kind
    cause: Cause = Field(description="There is one notification for each kind, cause and recipient.")
    customer: Customer | None = Field(description="Customer that it is about; null for alarms.")
    recipient: str = Field(description="Customer token or seat id of the recipient, or an address.")
    email: str | None = Field(description="Address that it was sent to; null while that is not decided.")
    language: Language | None = Field(description="Language of the mail; null while that is not decided.")
    status: NotificationStatus
    reason: SuppressionReason | None = Field(default=None, description="Only with `suppressed`.")
    attempts: Attempts = Field(description="Number of attempts to send it.")
    last_error: str | None = Field(description="Problem of the last attempt.")
    message_id: str = Field(description="`Message-ID` of the mail, the same in every attempt.")
    created_at: Instant
    next_attempt_at: Instant | None = Field(description="Next attempt, while it is queued.")
    sent_at: Instant | None


class NotificationFound(TolerantModel):
    """A notification after the command, or as queried."""

    notification: NotificationSnapshot


class NotificationPage(TolerantModel):
    """Page of notifications, newest first."""

    items: list[NotificationSnapshot]
    next_cursor: str | None = None


class MailPreview(TolerantModel):
    """A mail with sample data."""

    subject: str
    text: str
    html: str


class ResendNotification(Command[NotificationFound], service=SERVICE, rejections=("invitation_ended",)):
    """Send a notification again, as a new notification; to the recipient's present address."""

    notification_id: EntityId


class GetNotification(Question[NotificationFound], service=SERVICE, rejections=("not_found",)):
    """Get a notification."""

    notification_id: EntityId


class ListNotifications(Page, Question[NotificationPage], service=SERVICE):
    """List notifications, newest first."""

    customer: Customer | None = None
    kind: Kind | None = None
    status: NotificationStatus | None = None
    since: Instant | None = Field(default=None, description="Created at or after this time.")


class Preview(Question[MailPreview], service=SERVICE):
    """Render the mail of a kind with sample data."""

    kind: Kind
    language: Language = "en"


class NotificationEvent(
    Event,
    service=SERVICE,
    entity="notification",
    names=("sent", "failed", "suppressed"),
    platform_token=NOTIFICATIONS_TOKEN,
):
    """A notification was sent, has failed for good, or was not sent, with the reason."""

    notification: NotificationSnapshot
