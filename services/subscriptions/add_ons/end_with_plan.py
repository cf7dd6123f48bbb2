"""Canceling add-ons whose customer has no plan any more."""

import sqlalchemy as sa

from services.subscriptions.tables.add_ons import AddOnRow
from services.subscriptions.tables.subscriptions import SubscriptionRow
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m


async def cancel_add_ons_without_plan(work: UnitOfWork, token: str) -> None:
    """Send commands that cancel a customer's add-ons, unless they still have a plan.

    Canceling calls Stripe, which this transaction must not wait for.
    """
    live = sa.and_(SubscriptionRow.customer == token, SubscriptionRow.status.not_in(m.FINAL_STATUSES))
    query = (
        sa.select(AddOnRow.add_on_id, AddOnRow.version)
        .select_from(SubscriptionRow)
        .outerjoin(AddOnRow, AddOnRow.subscription_id == SubscriptionRow.subscription_id)
        .where(live)
    )
    left = (await work.session.execute(query)).all()
    if any(add_on_id is None for add_on_id, _ in left):
        return
    for add_on_id, version in left:
        if version:
            command_id = f"{add_on_id}.without_plan"
            work.send(
                m.CancelAddOn(
                    command_id=command_id, requested_by="subscriptions", add_on_id=add_on_id, at="now"
                )
            )
