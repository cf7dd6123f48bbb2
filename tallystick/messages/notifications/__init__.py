"""Messages of `notifications`: mails to people and webhooks to machines."""

from tallystick.messages.notifications.mails import (
    GetNotification,
    ListNotifications,
    MailPreview,
    NotificationEvent,
    NotificationFound,
    NotificationPage,
    NotificationSnapshot,
    Preview,
    ResendNotification,
)
from tallystick.messages.notifications.preferences import (
    GetPreferences,
    Preferences,
    PreferencesFound,
    SetPreferences,
)
from tallystick.messages.notifications.types import (
    MANDATORY_KINDS,
    SERVICE,
    Kind,
    Language,
    NotificationStatus,
    SuppressionReason,
)

__all__ = [
    "MANDATORY_KINDS",
    "SERVICE",
    "GetNotification",
    "GetPreferences",
    "Kind",
    "Language",
    "ListNotifications",
    "MailPreview",
    "NotificationEvent",
    "NotificationFound",
    "NotificationPage",
    "NotificationSnapshot",
    "NotificationStatus",
    "Preferences",
    "PreferencesFound",
    "Preview",
    "ResendNotification",
    "SetPreferences",
    "SuppressionReason",
]
