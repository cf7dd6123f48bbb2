"""Return pages of checkout when there is no shop yet: `/_sandbox/paid` and `/_sandbox/not-paid`."""

from __future__ import annotations

from sandbox.stripe import pages
from sandbox.stripe.account import Account, Json
from sandbox.stripe.routing import Page, Route


def paid(account: Account, params: Json, ids: dict[str, str]) -> Page:
    """Show the page after a payment."""
    return pages.page("Paid", "<p>Thank you. Your own shop would go on from here.</p>")


def not_paid(account: Account, params: Json, ids: dict[str, str]) -> Page:
    """Show the page after a cancellation."""
    return pages.page("Not paid", "<p>Nothing was charged. Your own shop would go on from here.</p>")


ROUTES = [
    Route("GET", "/_sandbox/paid", paid, kind="page"),
    Route("GET", "/_sandbox/not-paid", not_paid, kind="page"),
]
