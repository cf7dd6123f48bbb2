"""Subscriptions without a Stripe object: made at once, and moved through their periods by our own clock."""


from services.subscriptions.catalog.store import load_catalog
from services.subscriptions.changing import change_subscription
from services.subscriptions.checkouts import as_rejection, refuse_second, require_customer
from services.subscriptions.domain.orders import order_lines, plans_of
from services.subscriptions.domain.own_periods import started
from services.subscriptions.linking import new_subscription
from services.subscriptions.snapshots import subscription_snapshot
from shared.work import Work
from tallystick.messages import subscriptions as m


async def subscribe_for_free(work: Work, command: m.CreateSubscription) -> m.SubscriptionFound:
    """Start a subscription to free prices.

    Raises Rejected `not_found`, `unknown_price`, `quantity_out_of_range` and `already_subscribed`.
    """
    customer = await require_customer(work, command.customer)
    shelf = await load_catalog(work.session)
    lines = as_rejection(lambda: order_lines(shelf, command.items, free=True))
    await refuse_second(work, customer.customer, plans_of(lines))
    row = new_subscription(work, customer)
    row.period_anchor, row.period_interval = work.now, lines[0].price.interval
    await change_subscription(work, row, started(shelf, lines, work.now), is_new=True)
    return m.SubscriptionFound(subscription=subscription_snapshot(row))
