"""Ending an add-on, which is ending its subscription."""

from services.subscriptions.add_ons.repository import find_add_on
from services.subscriptions.add_ons.state_changes import add_on_snapshot
from services.subscriptions.domain.stripe_objects import StripeSubscription
from services.subscriptions.domain.subscription_state import FINAL
from services.subscriptions.lifecycle.cancel import Cancellation, plan_cancellation, record_cancellation
from services.subscriptions.tables.add_ons import AddOnRow
from shared.persistence.unit_of_work import Rejected, Work
from tallystick.messages import subscriptions as m


class AddOnCancellation(Cancellation):
    """How an add-on is to be cancelled; nothing is left to do where it has ended."""

    subscription_id: str
    has_ended: bool


async def plan_add_on_cancellation(work: Work, command: m.CancelAddOn) -> AddOnCancellation:
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
    work: Work,
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


async def _paid_for(work: Work, add_on_id: str) -> AddOnRow:
    await work.session.flush()
    row = await find_add_on(work.session, add_on_id)
    if row is None or row.version == 0:
        raise Rejected("not_found", f"There is no add-on {add_on_id}.", {"add_on_id": add_on_id})
    return row
