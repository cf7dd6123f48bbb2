"""Reactions to every change of a subscription: its add-on, the customer's other add-ons, entitlements.

Importing this module makes `state_changes` run the reactions, in this order and within the transaction.
"""

from services.subscriptions.add_ons.plan_end import end_add_ons_with_plan
from services.subscriptions.add_ons.state_changes import update_add_on_from_subscription
from services.subscriptions.domain.entitlements import seat_features
from services.subscriptions.entitlements.refresh import refresh_entitlements
from services.subscriptions.snapshots import state_from_row
from services.subscriptions.state_changes import SubscriptionChange, reactions
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages.subscriptions import RefreshSeats


async def update_add_on(work: UnitOfWork, change: SubscriptionChange) -> None:
    """Update the add-on that the subscription is for."""
    await update_add_on_from_subscription(work, change.row, is_new=change.before is None)


async def end_add_ons(work: UnitOfWork, change: SubscriptionChange) -> None:
    """Let the customer's add-ons end with their last plan, or go on with it."""
    before, after = change.before, change.after
    if before is None or (before.ends_at, before.status) != (after.ends_at, after.status):
        await end_add_ons_with_plan(work, change)


async def refresh_customer_entitlements(work: UnitOfWork, change: SubscriptionChange) -> None:
    """Refresh the customer's entitlements, and those of seat holders if their features changed."""
    await refresh_entitlements(work, [change.row.customer])
    if change.before is not None and seat_features(change.before) != seat_features(
        state_from_row(change.row)
    ):
        # A team may have ten thousand seats, too many for this transaction.
        work.send(
            RefreshSeats(
                command_id=f"{change.row.subscription_id}.{change.row.version}",
                subscription_id=change.row.subscription_id,
                caused_by=work.caused_by,
            )
        )


reactions.extend((update_add_on, end_add_ons, refresh_customer_entitlements))
