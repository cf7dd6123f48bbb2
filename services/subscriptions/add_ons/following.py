"""An add-on goes where its subscription goes: told as purchased, changed, ended."""

from services.subscriptions.add_ons.store import add_on_of_subscription
from services.subscriptions.add_ons.tables import AddOnRow
from services.subscriptions.domain.add_ons import Standing, event_between, standing_of
from services.subscriptions.snapshots import state_of_row
from services.subscriptions.tables import SubscriptionRow
from shared.work import Work
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer


async def follow_subscription(work: Work, subscription: SubscriptionRow) -> None:
    """Bring the add-on of a subscription, if it is one's, to where that is now."""
    row = await add_on_of_subscription(work.session, subscription.subscription_id)
    if row is None:
        return
    before = Standing(row.status, row.cancel_at) if row.version else None
    after = standing_of(state_of_row(subscription))
    event = event_between(before, after)
    if event is None:
        return
    row.version += 1
    row.status, row.cancel_at = after.status, after.cancel_at
    work.tell(
        m.AddOnEvent,
        event,
        customer=Customer.from_token(row.customer),
        version=row.version,
        add_on=add_on_snapshot(row),
    )


def add_on_snapshot(row: AddOnRow) -> m.AddOnSnapshot:
    """An add-on, once paid for, as others see it."""
    return m.AddOnSnapshot.model_validate(
        {
            "add_on_id": row.add_on_id,
            "version": row.version,
            "customer": Customer.from_token(row.customer),
            "product": row.product,
            "price": row.price,
            "details": row.details,
            "status": row.status,
            "cancel_at": row.cancel_at,
            "subscription_id": row.subscription_id,
            "created_at": row.created_at,
        }
    )
