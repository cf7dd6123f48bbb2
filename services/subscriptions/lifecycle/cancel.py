"""The steps of `cancel_subscription`, for subscriptions in Stripe and for those of our own."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from services.subscriptions.domain.self_managed_periods import canceled, canceling
from services.subscriptions.domain.stripe_objects import StripeSubscription
from services.subscriptions.domain.subscription_state import FINAL
from services.subscriptions.lifecycle.optimistic_write import locked, record_until_current, take_over
from services.subscriptions.service import service
from services.subscriptions.snapshots import state_of_row, subscription_snapshot
from services.subscriptions.state_changes import change_subscription
from services.subscriptions.stripe.client import StripeGateway
from services.subscriptions.stripe.subscription_updates import release_schedule
from services.subscriptions.tables.subscriptions import SubscriptionRow
from shared.errors import Rejected
from shared.messaging.external_command import Steps
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m


class Cancellation(BaseModel):
    """How a subscription is to be cancelled; without a Stripe id nobody outside has to be asked."""

    model_config = ConfigDict(frozen=True)

    stripe_subscription_id: str | None
    revision: int


@service.external_command(m.CancelSubscription)
async def cancel_subscription(
    steps: Steps, command: m.CancelSubscription, stripe: StripeGateway
) -> m.SubscriptionFound:
    """Cancel in Stripe where the subscription has an object there, and write what it is then."""
    intent = await steps.intend(lambda work: plan_cancellation(work, command), Cancellation)
    stripe_id = intent.stripe_subscription_id
    if stripe_id is None:
        return await steps.record(lambda work: record_cancellation(work, command, intent.revision, None))
    answer = await cancel_in_stripe(stripe, command, stripe_id, steps.key("cancel"))
    return await record_until_current(
        steps,
        stripe,
        intent.revision,
        answer,
        lambda work, revision, current: record_cancellation(work, command, revision, current),
    )


async def plan_cancellation(work: UnitOfWork, command: m.CancelSubscription) -> Cancellation:
    """Check that there is something to cancel.

    Raises Rejected `not_found` and `subscription_ended`.
    """
    row = await locked(work, command.subscription_id)
    if row.status in FINAL:
        raise _already_ended(command.subscription_id)
    is_asked_already = command.at == "period_end" and row.cancel_at_period_end
    return Cancellation(
        stripe_subscription_id=None if is_asked_already else row.stripe_subscription_id,
        revision=row.stripe_revision,
    )


async def cancel_in_stripe(
    stripe: StripeGateway, command: m.CancelSubscription, stripe_subscription_id: str, key: str
) -> StripeSubscription:
    """Cancel in Stripe; the subscription as it is then.

    What a schedule drives, Stripe does not let run out: the change that waits is dropped first.

    Raises Rejected `subscription_ended` if it ended there before it could be told to run out.
    """
    cancel = stripe.cancel_now if command.at == "now" else stripe.cancel_at_period_end
    present = await stripe.find_subscription(stripe_subscription_id) if command.at == "period_end" else None
    if present is not None:
        await release_schedule(stripe, present, f"{key}:release")
    try:
        return await cancel(stripe_subscription_id, reason=command.reason, key=key)
    except Rejected:
        present = await stripe.find_subscription(stripe_subscription_id)
        if present is None or present.status not in ("canceled", "incomplete_expired"):
            raise
        if command.at == "period_end":
            raise _already_ended(command.subscription_id) from None
        return present


async def record_cancellation(
    work: UnitOfWork, command: m.CancelSubscription, revision: int, answer: StripeSubscription | None
) -> m.SubscriptionFound:
    """Write what the subscription is now.

    Raises Outdated when Stripe's events have changed it since `revision`.
    """
    row = await locked(work, command.subscription_id)
    if answer is not None:
        await take_over(work, row, revision, answer)
    elif row.stripe_subscription_id is None:
        await _cancel_own(work, row, command.at)
    return m.SubscriptionFound(subscription=subscription_snapshot(row))


async def _cancel_own(work: UnitOfWork, row: SubscriptionRow, at: Literal["period_end", "now"]) -> None:
    state = state_of_row(row)
    if state.is_final:
        raise _already_ended(row.subscription_id)
    if at == "now":
        await change_subscription(work, row, canceled(state, at=work.now))
    elif not state.cancel_at_period_end:
        await change_subscription(work, row, canceling(state, now=work.now))


def _already_ended(subscription_id: str) -> Rejected:
    return Rejected(
        "subscription_ended", "The subscription has ended already.", {"subscription_id": subscription_id}
    )
