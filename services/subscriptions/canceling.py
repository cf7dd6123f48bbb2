"""The steps of `cancel_subscription`, for subscriptions in Stripe and for those of our own."""

from functools import partial
from typing import Literal

from pydantic import BaseModel, ConfigDict

from services.subscriptions.catalog.store import load_catalog
from services.subscriptions.changing import change_subscription
from services.subscriptions.domain.from_stripe import state_of
from services.subscriptions.domain.own_periods import canceled, canceling
from services.subscriptions.domain.stripe_objects import StripeSubscription
from services.subscriptions.domain.subscription import FINAL
from services.subscriptions.snapshots import state_of_row, subscription_snapshot
from services.subscriptions.store import find_subscription, lock_customer
from services.subscriptions.stripe_gateway import StripeGateway
from services.subscriptions.tables import SubscriptionRow
from shared.steps import Steps
from shared.work import Rejected, Unavailable, Work
from tallystick.messages import subscriptions as m

RECORD_TRIES = 5
"""How often Stripe is asked again because its events changed the subscription meanwhile."""


class Cancellation(BaseModel):
    """How a subscription is to be cancelled; without a Stripe id nobody outside has to be asked."""

    model_config = ConfigDict(frozen=True)

    stripe_subscription_id: str | None
    revision: int


class Outdated(Exception):
    """Stripe's answer is older than what its events have told meanwhile."""

    def __init__(self, revision: int) -> None:
        super().__init__(revision)
        self.revision = revision


async def plan_cancellation(work: Work, command: m.CancelSubscription) -> Cancellation:
    """Check that there is something to cancel.

    Raises Rejected `not_found` and `subscription_ended`.
    """
    row = await _locked(work, command.subscription_id)
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

    Raises Rejected `subscription_ended` if it ended there before it could be told to run out.
    """
    cancel = stripe.cancel_now if command.at == "now" else stripe.cancel_at_period_end
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
    work: Work, command: m.CancelSubscription, revision: int, answer: StripeSubscription | None
) -> m.SubscriptionFound:
    """Write what the subscription is now.

    Raises Outdated when Stripe's events have changed it since `revision`.
    """
    row = await _locked(work, command.subscription_id)
    if answer is not None:
        await _take_over(work, row, revision, answer)
    elif row.stripe_subscription_id is None:
        await _cancel_own(work, row, command.at)
    return m.SubscriptionFound(subscription=subscription_snapshot(row))


async def record_until_current(
    steps: Steps,
    command: m.CancelSubscription,
    stripe: StripeGateway,
    revision: int,
    answer: StripeSubscription,
) -> m.SubscriptionFound:
    """Record Stripe's answer, or, if its events were faster, what Stripe says after those."""
    for _ in range(RECORD_TRIES):
        save = partial(record_cancellation, command=command, revision=revision, answer=answer)
        try:
            return await steps.record(save)
        except Outdated as outdated:
            revision = outdated.revision
            answer = await stripe.find_subscription(answer.stripe_subscription_id) or answer
    raise Unavailable("The subscription is changing in Stripe at this moment.")


async def _take_over(work: Work, row: SubscriptionRow, revision: int, answer: StripeSubscription) -> None:
    if row.status in FINAL:
        return
    state = state_of(answer, await load_catalog(work.session))
    if row.stripe_revision != revision and not state.is_final:
        raise Outdated(row.stripe_revision)
    row.stripe_is_ahead = True
    row.stripe_revision += 1
    await change_subscription(work, row, state)


async def _cancel_own(work: Work, row: SubscriptionRow, at: Literal["period_end", "now"]) -> None:
    state = state_of_row(row)
    if state.is_final:
        raise _already_ended(row.subscription_id)
    if at == "now":
        await change_subscription(work, row, canceled(state, at=work.now))
    elif not state.cancel_at_period_end:
        await change_subscription(work, row, canceling(state, now=work.now))


async def _locked(work: Work, subscription_id: str) -> SubscriptionRow:
    row = await find_subscription(work.session, subscription_id)
    if row is not None:
        await lock_customer(work.session, row.customer)
        # Read again: whoever held the lock may have changed it.
        row = await find_subscription(work.session, subscription_id)
    if row is None:
        raise not_found(subscription_id)
    return row


def not_found(subscription_id: str) -> Rejected:
    """The rejection of an id that no subscription has."""
    return Rejected(
        "not_found", f"There is no subscription {subscription_id}.", {"subscription_id": subscription_id}
    )


def _already_ended(subscription_id: str) -> Rejected:
    return Rejected(
        "subscription_ended", "The subscription has ended already.", {"subscription_id": subscription_id}
    )
