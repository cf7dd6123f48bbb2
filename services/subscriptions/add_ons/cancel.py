"""Ending an add-on, which is ending its subscription."""

from services.subscriptions.add_ons.repository import find_add_on
from services.subscriptions.add_ons.state_changes import add_on_snapshot
from services.subscriptions.domain.stripe_objects import StripeSubscription
from services.subscriptions.domain.subscription_state import FINAL
from services.subscriptions.lifecycle.cancel import (
    Cancellation,
    cancel_in_stripe,
    plan_cancellation,
    record_cancellation,
)
from services.subscriptions.lifecycle.optimistic_write import record_until_current
from services.subscriptions.service import service
from services.subscriptions.stripe.client import StripeGateway
from services.subscriptions.tables.add_ons import AddOnRow
from shared.errors import Rejected
from shared.messaging.external_command import Steps
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m


class AddOnCancellation(Cancellation):
    """How an add-on is to be cancelled; nothing is left to do where it has ended."""

    subscription_id: str
    has_ended: bool


@service.external_command(m.CancelAddOn)
async def cancel_add_on(steps: Steps, command: m.CancelAddOn, stripe: StripeGateway) -> m.AddOnFound:
    """Cancel its subscription, in Stripe where it has an object there."""
    intent = await steps.intend(lambda work: plan_add_on_cancellation(work, command), AddOnCancellation)
    stripe_id = intent.stripe_subscription_id
    if stripe_id is None:
        return await steps.record(
            lambda work: record_add_on_cancellation(work, command, intent, intent.revision, None)
        )
    inner = as_cancellation(command, intent.subscription_id)
    answer = await cancel_in_stripe(stripe, inner, stripe_id, steps.key("cancel"))
    return await record_until_current(
        steps,
        stripe,
        intent.revision,
        answer,
        lambda work, revision, current: record_add_on_cancellation(work, command, intent, revision, current),
    )


async def plan_add_on_cancellation(work: UnitOfWork, command: m.CancelAddOn) -> AddOnCancellation:
    """Find the add-on; raises Rejected `not_found` for one that was never paid for."""
    row = await _paid_for(work, command.add_on_id)
    subscription_id = str(row.subscription_id)
    if row.status in FINAL:
        return AddOnCancellation(
            stripe_subscription_id=None, revision=0, subscription_id=subscription_id, has_ended=True
        )
    found = await plan_cancellation(work, as_cancellation(command, subscription_id))
    return AddOnCancellation(**dict(found), subscription_id=subscription_id, has_ended=False)


async def record_add_on_cancellation(
    work: UnitOfWork,
    command: m.CancelAddOn,
    intent: AddOnCancellation,
    revision: int,
    answer: StripeSubscription | None,
) -> m.AddOnFound:
    """Write what the subscription is now, and with it the add-on.

    Raises Outdated when Stripe's events have changed it since `revision`.
    """
    if not intent.has_ended:
        inner = as_cancellation(command, intent.subscription_id)
        await record_cancellation(work, inner, revision, answer)
    return m.AddOnFound(add_on=add_on_snapshot(await _paid_for(work, command.add_on_id)))


def as_cancellation(command: m.CancelAddOn, subscription_id: str) -> m.CancelSubscription:
    """The same wish for the add-on's subscription."""
    return m.CancelSubscription(command_id=command.command_id, subscription_id=subscription_id, at=command.at)


async def _paid_for(work: UnitOfWork, add_on_id: str) -> AddOnRow:
    await work.session.flush()
    row = await find_add_on(work.session, add_on_id)
    if row is None or row.version == 0:
        raise Rejected("not_found", f"There is no add-on {add_on_id}.", {"add_on_id": add_on_id})
    return row
