"""Billing settings that Stripe offers only in its dashboard.

They define what happens when payments keep failing. Retries follow a fixed schedule instead of Stripe's
learned one, so that tests can predict the next one.
"""

from __future__ import annotations

from sandbox.stripe.account import Account, Json
from sandbox.stripe.billing.calendar import DAY, HOUR
from sandbox.stripe.parameters import one_of
from sandbox.stripe.routing import Route

RETRY_DAYS = (3, 5, 7)
"""Days from each failed attempt to the next; after the last one the subscription gets its end state."""
DRAFT_SECONDS = HOUR
"""Time an automatic invoice stays a draft, so that an integration can add items."""
INCOMPLETE_SECONDS = 23 * HOUR
"""Time limit of a first payment, and of a pending update."""
TRIAL_NOTICE_SECONDS = 3 * DAY
"""Time of `customer.subscription.trial_will_end` before the trial's end."""
UPCOMING_SECONDS = 7 * DAY
"""Time of `invoice.upcoming` before a renewal."""
OVERDUE_END_SECONDS = 30 * DAY
"""Time a sent invoice may be overdue before the subscription gets its end state."""

_KIND, _ID = "_billing_settings", "_billing_settings"
_WORDS = ("cancel", "unpaid", "past_due")


def end_state(account: Account) -> str:
    """Return the end state of a subscription after its last retry.

    `cancel` (the default), `unpaid` or `past_due`.
    """
    stored = account.peek(_KIND, _ID)
    return "cancel" if stored is None else str(stored["failed_payments"])


def change(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /_sandbox/billing_settings`: change the dashboard settings."""
    stored = account.peek(_KIND, _ID) or account.insert({"object": _KIND, "id": _ID})
    account.get(_KIND, _ID)["failed_payments"] = params["failed_payments"]
    return stored


ROUTES = [
    Route("POST", "/_sandbox/billing_settings", change, {"failed_payments!": one_of(*_WORDS)}, kind="knob"),
]
