"""Noticing that the end of a customer's plan and of their add-ons differ, after every change of either."""

from services.subscriptions.domain.add_on_ends import change_of_end
from services.subscriptions.repository.add_ons import has_live_add_ons
from services.subscriptions.repository.plan_ends import load_holdings
from services.subscriptions.state_changes import SubscriptionChange
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages.subscriptions import EndAddOnWithPlan


async def end_add_ons_with_plan(work: UnitOfWork, change: SubscriptionChange) -> None:
    """Send a command for each add-on of the customer whose end has to change.

    The command calls Stripe, which this transaction must not wait for.
    """
    if not await has_live_add_ons(work, change.row.customer):
        return
    holdings = await load_holdings(work, change.row.customer)
    for held in holdings.add_ons:
        wanted = change_of_end(held.state, held.followed, holdings.plan_end)
        # A self-managed add-on is free: no time after an end to come has been paid.
        if wanted is None or not (wanted.now or held.subscription.stripe_subscription_id is not None):
            continue
        cause = f"{change.row.subscription_id}.{change.row.version}"
        work.send(
            EndAddOnWithPlan(
                command_id=f"{held.row.add_on_id}.{cause}",
                requested_by="subscriptions",
                add_on_id=held.row.add_on_id,
            )
        )
