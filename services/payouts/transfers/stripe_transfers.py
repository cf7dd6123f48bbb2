"""What Stripe tells of transfers: that one was made, and how much of one was taken back."""

from collections.abc import Mapping
from typing import Any

from services.payouts.domain.stripe_account import Malformed
from services.payouts.stripe.client import PAYOUT_ID_KEY
from services.payouts.transfers.repository import lock_payout
from services.payouts.transfers.state_changes import mark_paid, mark_reversed
from shared.persistence.unit_of_work import UnitOfWork


async def apply_transfer(work: UnitOfWork, body: Mapping[str, Any]) -> bool:
    """Apply a transfer as Stripe has it; return whether it is one of our payouts.

    The event also finishes a payout whose worker died between Stripe's answer and the commit. The amount that
    was taken back only grows, so events may come in any order.
    """
    payout_id = (body.get("metadata") or {}).get(PAYOUT_ID_KEY)
    row = await lock_payout(work.session, payout_id) if isinstance(payout_id, str) else None
    if row is None:
        return False
    transfer_id, amount_reversed = body.get("id"), body.get("amount_reversed")
    if not isinstance(transfer_id, str) or not isinstance(amount_reversed, int):
        raise Malformed("a transfer needs an id and the amount that was reversed")
    mark_paid(work, row, transfer_id)
    await mark_reversed(work, row, amount_reversed)
    return True
