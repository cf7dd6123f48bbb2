"""Noticing that the end of a customer's plan and of their add-ons differ, after every change of either."""

from services.subscriptions.domain.add_on_ends import FollowedEnd, PlanEnd, change_of_end, plan_end
from services.subscriptions.repository.add_ons import add_ons_by_subscription, has_live_add_ons, last_plan_end
from services.subscriptions.repository.subscriptions import live_subscriptions
from services.subscriptions.snapshots import state_from_row
from services.subscriptions.state_changes import SubscriptionChange
from services.subscriptions.tables.add_ons import AddOnRow
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages.subscriptions import EndAddOnWithPlan


async def end_add_ons_with_plan(work: UnitOfWork, change: SubscriptionChange) -> None:
    """Send a command for each add-on of the customer whose end has to change.

    The command calls Stripe, which this transaction must not wait for.
    """
    if not await has_live_add_ons(work, change.row.customer):
        return
    rows = await live_subscriptions(work.session, change.row.customer)
    add_ons = await add_ons_by_subscription(work.session, change.row.customer)
    plan = await load_plan_end(work, change.row.customer)
    for row in rows:
        add_on = add_ons.get(row.subscription_id)
        if add_on is None or not add_on.version:
            continue
        wanted = change_of_end(state_from_row(row), followed_end(add_on), plan)
        # A self-managed add-on is free: no time after an end to come has been paid.
        if wanted is not None and (wanted.now or row.stripe_subscription_id is not None):
            cause = f"{change.row.subscription_id}.{change.row.version}"
            work.send(
                EndAddOnWithPlan(
                    command_id=f"{add_on.add_on_id}.{cause}",
                    requested_by="subscriptions",
                    add_on_id=add_on.add_on_id,
                )
            )


async def load_plan_end(work: UnitOfWork, token: str) -> PlanEnd:
    """Load the end of a customer's last plan: every subscription that is not an add-on's counts."""
    rows = await live_subscriptions(work.session, token)
    add_ons = await add_ons_by_subscription(work.session, token)
    plans = [state_from_row(row) for row in rows if row.subscription_id not in add_ons]
    return plan_end(plans, None if plans else await last_plan_end(work.session, token))


def followed_end(row: AddOnRow) -> FollowedEnd | None:
    """Return the plan's end that an add-on was set to."""
    if row.plan_end_at is None:
        return None
    return FollowedEnd(row.plan_end_at, row.own_end_at, bool(row.plan_end_credit))
