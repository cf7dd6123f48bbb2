"""The account's billing settings that Stripe offers in its dashboard only.

What happens when payments keep failing.

Retries follow a fixed schedule instead of Stripe's learned one, so that a test knows when the next one is.
"""

from __future__ import annotations

from sandbox.stripe.account import Account, Json
from sandbox.stripe.billing.calendar import DAY, HOUR
from sandbox.stripe.parameters import one_of
from sandbox.stripe.routing import Route

RETRY_DAYS = (3, 5, 7)
"""Days from each failed attempt to the next; after the last of them the subscription gets its end state."""
DRAFT_SECONDS = HOUR
"""How long an automatic invoice stays a draft, so that an integration can add to it."""
INCOMPLETE_SECONDS = 23 * HOUR
"""How long a first payment, or that of a pending update, may take."""
TRIAL_NOTICE_SECONDS = 3 * DAY
"""`customer.subscription.trial_will_end` comes so long before."""
UPCOMING_SECONDS = 7 * DAY
"""`invoice.upcoming` comes so long before a renewal."""
OVERDUE_END_SECONDS = 30 * DAY
"""How long a sent invoice may be overdue before the subscription gets its end state."""

_KIND, _ID = "_billing_settings", "_billing_settings"
_WORDS = ("cancel", "unpaid", "past_due")


def end_state(account: Account) -> str:
    """What a subscription becomes when its retries are used up.

    `cancel` (the default), `unpaid` or `past_due`.
    """
    stored = account.peek(_KIND, _ID)
    return "cancel" if stored is None else str(stored["failed_payments"])


def change(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /_sandbox/billing_settings`: set what the dashboard sets."""
    stored = account.peek(_KIND, _ID) or account.insert({"object": _KIND, "id": _ID})
    account.get(_KIND, _ID)["failed_payments"] = params["failed_payments"]
    return stored


ROUTES = [
    Route("POST", "/_sandbox/billing_settings", change, {"failed_payments!": one_of(*_WORDS)}, kind="knob"),
]
