"""Making a change only at the sum that was agreed to: the preview's moment decides what is prorated."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from services.subscriptions.domain.stripe_objects import StripeSubscription, moment
from services.subscriptions.rejections import require_agreed_amount
from services.subscriptions.stripe.client import StripeGateway
from services.subscriptions.stripe.invoice_previews import preview_change
from services.subscriptions.stripe.item_changes import ItemChange
from tallystick.messages.base import Money
from tallystick.messages.subscriptions import Proration

PREVIEW_LIFETIME = timedelta(hours=1)
"""How long the sum of a preview can be agreed to; after that a change is prorated from its own moment."""


async def agreed_proration_date(
    stripe: StripeGateway,
    present: StripeSubscription,
    change: ItemChange,
    proration: Proration,
    *,
    due_now: Money,
    proration_date: datetime | None,
) -> datetime | None:
    """Return the moment from which to prorate a change now, so that the agreed sum is due.

    None: from the change's own moment. Raises Rejected `amount_changed` if another sum would be due.
    """
    if _is_made(present, change):  # by an earlier run of the same command
        return proration_date
    body = await preview_change(stripe, present, change, proration)
    now = proration_moment(body)
    if now is None or proration_date is None or not _is_recent(proration_date, now):
        proration_date = None
    else:
        body = await preview_change(stripe, present, change, proration, at=proration_date)
    is_due = _is_due(body, present, change, proration)
    due = Money(amount=body["amount_due"] if is_due else 0, currency=body["currency"])
    require_agreed_amount(due_now, due)
    return proration_date


def proration_moment(invoice: Mapping[str, Any]) -> datetime | None:
    """Return the moment from which an invoice prorates, in Stripe's time; None if it prorates nothing."""
    lines = (line for line in invoice["lines"]["data"] if _is_proration(line))
    starts = [moment((line.get("period") or {}).get("start")) for line in lines]
    return max((start for start in starts if start is not None), default=None)


def _is_recent(proration_date: datetime, now: datetime) -> bool:
    # An earlier moment would credit time that was used.
    return now - PREVIEW_LIFETIME <= proration_date <= now


def _is_made(present: StripeSubscription, change: ItemChange) -> bool:
    wanted = (change.after, change.quantity)
    return any((item.stripe_price_id, item.quantity) == wanted for item in present.items)


def _is_due(
    invoice: Mapping[str, Any], present: StripeSubscription, change: ItemChange, proration: Proration
) -> bool:
    """Whether Stripe would make this invoice now: a new period begins, or a proration is invoiced at once."""
    if present.status == "trialing":
        return False
    before = next((item.recurring for item in present.items if item.stripe_price_id == change.before), None)
    every = (change.interval, change.interval_count)
    if before is not None and (before.interval, before.interval_count) != every:
        return True
    return proration == "invoice" and proration_moment(invoice) is not None


def _is_proration(line: Mapping[str, Any]) -> bool:
    parent = line.get("parent") or {}
    details = parent.get("subscription_item_details") or parent.get("invoice_item_details") or {}
    return bool(details.get("proration", line.get("proration", False)))
