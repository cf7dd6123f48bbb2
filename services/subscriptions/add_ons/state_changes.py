"""Writing an add-on's state, which follows its subscription's, and emitting its events."""

import sqlalchemy as sa

from services.subscriptions.domain.add_ons import AddOnState, add_on_state_of, event_between
from services.subscriptions.repository.add_ons import find_add_on_of_subscription
from services.subscriptions.snapshots import state_from_row
from services.subscriptions.tables.add_ons import AddOnRow
from services.subscriptions.tables.catalog import ProductRow
from services.subscriptions.tables.subscriptions import SubscriptionRow
from shared.ids import new_id
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer


async def update_add_on_from_subscription(
    work: UnitOfWork, subscription: SubscriptionRow, *, is_new: bool = False
) -> None:
    """Update the add-on of a subscription, if it has one, and emit its event."""
    row = await find_add_on_of_subscription(work, subscription.subscription_id)
    if row is None and is_new:
        row = await _add_on_for_new_subscription(work, subscription)
    if row is None:
        return
    before = AddOnState(row.status, row.cancel_at) if row.version else None
    after = add_on_state_of(state_from_row(subscription))
    event = event_between(before, after)
    if event is None:
        return
    row.version += 1
    row.status, row.cancel_at = after.status, after.cancel_at
    work.emit(
        m.AddOnEvent,
        event,
        customer=Customer.from_token(row.customer),
        version=row.version,
        add_on=add_on_snapshot(row),
    )


def add_on_snapshot(row: AddOnRow) -> m.AddOnSnapshot:
    """Build the snapshot of an add-on that was paid for."""
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


async def _add_on_for_new_subscription(work: UnitOfWork, subscription: SubscriptionRow) -> AddOnRow | None:
    """Create the add-on of a new subscription to an add-on alone, bought as a plan would be."""
    if len(subscription.items) != 1 or subscription.items[0]["product"] is None:
        return None
    [item] = subscription.items
    query = sa.select(ProductRow.kind).where(ProductRow.code == item["product"])
    if await work.session.scalar(query) != "add_on":
        return None
    row = AddOnRow(
        add_on_id=new_id("addon"),
        customer=subscription.customer,
        version=0,
        product=item["product"],
        price=item["price"],
        details={},
        status="incomplete",
        subscription_id=subscription.subscription_id,
        created_at=work.now,
    )
    work.session.add(row)
    return row
