"""Notifications about payouts to sellers."""

from services.notifications.domain.drafts import Draft
from tallystick.messages.payouts import PayoutEvent


def payout_drafts(name: str, event: PayoutEvent) -> list[Draft]:
    """Return the notifications of a payout's event."""
    payout = event.payout
    token = f"{payout.customer.type}_{payout.customer.id}"
    facts = {
        "amount": {"amount": payout.amount.amount, "currency": payout.amount.currency},
        "reason": payout.failure.message if payout.failure else None,
    }
    if name == "paid":
        return [Draft("payout_paid", payout.payout_id, token, token, facts)]
    if name == "failed":
        return [Draft("payout_failed", payout.payout_id, token, token, facts)]
    return []
