"""Subscriptions without a Stripe object: made at once, and moved through their periods by our own clock."""

from datetime import datetime

from services.subscriptions.catalog.domain.view import CatalogView
from services.subscriptions.catalog.store import load_catalog
from services.subscriptions.changing import change_subscription
from services.subscriptions.checkouts import as_rejection, refuse_second, require_customer
from services.subscriptions.domain.orders import order_lines, plans_of
from services.subscriptions.domain.own_periods import moved_on, started
from services.subscriptions.linking import new_subscription
from services.subscriptions.snapshots import state_of_row, subscription_snapshot
from services.subscriptions.store import customers_with_due_periods, due_subscriptions, lock_customers
from shared.work import Transactions, Work
from tallystick.messages import subscriptions as m

DUE_CUSTOMERS_BATCH = 100
"""Customers whose periods are moved in one transaction: enough to be cheap, few enough to wait for."""


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


async def move_due_periods(transactions: Transactions, at: datetime) -> None:
    """Renew or end every free subscription whose period is over by then. A doubled tick finds nothing due."""
    caused_by = f"subscriptions.move_periods {at.isoformat().replace('+00:00', 'Z')}"
    while True:
        async with transactions.begin(caused_by=caused_by, now=at) as work:
            tokens = await customers_with_due_periods(work.session, at, DUE_CUSTOMERS_BATCH)
            await _move(work, tokens, at)
        if len(tokens) < DUE_CUSTOMERS_BATCH:
            return


async def _move(work: Work, tokens: list[str], at: datetime) -> None:
    await lock_customers(work.session, tokens)
    shelf: CatalogView | None = None
    for row in await due_subscriptions(work.session, tokens, at):
        shelf = shelf or await load_catalog(work.session)
        interval, anchor = row.period_interval, row.period_anchor
        if interval is None or anchor is None:
            raise RuntimeError(f"{row.subscription_id} has a period of our own but no rhythm")
        await change_subscription(work, row, moved_on(state_of_row(row), shelf, anchor, interval, at))
