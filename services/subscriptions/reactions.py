"""What follows from every change of a subscription: its add-on, other add-ons, entitlements.

Importing this module makes `state_changes` run the reactions, in this order and within the transaction.
"""

from services.subscriptions.add_ons.end_with_plan import end_without_plan
from services.subscriptions.add_ons.state_changes import follow_subscription
from services.subscriptions.domain.entitlements import seats_give
from services.subscriptions.entitlements.refresh import refresh_entitlements
from services.subscriptions.snapshots import state_of_row
from services.subscriptions.state_changes import SubscriptionChange, reactions
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages.subscriptions import RefreshSeats


async def change_its_add_on(work: UnitOfWork, change: SubscriptionChange) -> None:
    """Bring the add-on that the subscription pays for to the subscription's state."""
    await follow_subscription(work, change.row, is_new=change.before is None)


async def end_add_ons_without_plan(work: UnitOfWork, change: SubscriptionChange) -> None:
    """Cancel the customer's add-ons where the last plan has ended."""
    if change.after.is_final:
        await end_without_plan(work, change.row.customer)


async def refresh_the_customers_entitlements(work: UnitOfWork, change: SubscriptionChange) -> None:
    """Compute the customer's entitlements anew, and those of seats where what they give has changed."""
    await refresh_entitlements(work, [change.row.customer])
    if change.before is not None and seats_give(change.before) != seats_give(state_of_row(change.row)):
        # There may be ten thousand seats: not in this transaction.
        work.send(
            RefreshSeats(
                command_id=f"{change.row.subscription_id}.{change.row.version}",
                subscription_id=change.row.subscription_id,
                caused_by=work.caused_by,
            )
        )


reactions.extend((change_its_add_on, end_add_ons_without_plan, refresh_the_customers_entitlements))
