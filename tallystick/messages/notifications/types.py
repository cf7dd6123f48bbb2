"""Types shared by the messages of `notifications`."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

SERVICE = "notifications"
Kind = Literal[
    "invitation",
    "invitation_reminder",
    "seat_claimed",
    "seat_revoked",
    "subscription_started",
    "subscription_changed",
    "cancel_scheduled",
    "subscription_ended",
    "trial_ending",
    "renewal_upcoming",
    "card_expiring",
    "invoice_paid",
    "payment_failed",
    "payment_action_required",
    "access_restricted",
    "payment_recovered",
    "units_low",
    "units_exhausted",
    "usage_alert",
    "recharge_paid",
    "recharge_failed",
    "license_issued",
    "license_expiring",
    "payout_paid",
    "payout_failed",
    "alarm",
]
"""Kind of a notification; `alarm` goes to operators, all others to customers, members and invited people."""
MANDATORY_KINDS: frozenset[Kind] = frozenset(
    {
        "invitation",
        "payment_failed",
        "payment_action_required",
        "payment_recovered",
        "access_restricted",
        "subscription_ended",
    }
)
"""Kinds that a recipient cannot switch off."""
Language = Literal["en", "de"]
NotificationStatus = Literal["queued", "sent", "failed", "suppressed"]
SuppressionReason = Literal["preferences", "bounced", "stale", "no_address"]
Cause = Annotated[str, StringConstraints(max_length=200)]
"""What a notification is about: the id of an event, of an entity, or of a command."""
Attempts = Annotated[int, Field(ge=0, le=10_000)]
