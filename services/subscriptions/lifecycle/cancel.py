"""Canceling a subscription, in Stripe or self-managed."""

from dataclasses import dataclass, field
from typing import Literal

from services.subscriptions.domain.self_managed_periods import canceled, canceling
from services.subscriptions.domain.stripe_objects import StripeSubscription
from services.subscriptions.lifecycle.cancellation_preview import preview_end
from services.subscriptions.lifecycle.stripe_mutation import (
    MutationIntent,
    StripeMutation,
    apply_stripe_answer,
    lock_subscription,
)
from services.subscriptions.repository.subscriptions import find_subscription
from services.subscriptions.service import service
from services.subscriptions.snapshots import state_from_row, subscription_snapshot
from services.subscriptions.state_changes import change_subscription
from services.subscriptions.stripe.client import StripeGateway
from services.subscriptions.stripe.schedules import release_schedule
from services.subscriptions.tables.subscriptions import SubscriptionRow
from shared.clock import utc_now
from shared.errors import Rejected, Unavailable
from shared.messaging.external_command import ExternalCommandSteps
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m


@service.external_command(m.CancelSubscription)
async def cancel_subscription(
    steps: ExternalCommandSteps, command: m.CancelSubscription, stripe: StripeGateway
) -> m.SubscriptionCanceled:
    """Cancel a subscription, now or when its period ends."""
    return await Cancellation(steps, stripe, command).run()


@dataclass(frozen=True, slots=True)
class Cancellation(StripeMutation[MutationIntent, m.SubscriptionCanceled]):
    """The cancellation of a subscription."""

    command: m.CancelSubscription
    previewed: list[m.CancellationPreview] = field(default_factory=list)
    """What ends with it, from `execute` on."""

    async def execute(self, intent: MutationIntent) -> m.SubscriptionCanceled:
        """Note what ends with the subscription, then cancel it."""
        if (ending := await self._preview()) is not None:
            self.previewed.append(ending)
        return await StripeMutation.execute(self, intent)

    async def plan(self, work: UnitOfWork) -> MutationIntent:
        """Check that there is something to cancel; raises Rejected `not_found` and `subscription_ended`."""
        row = await lock_subscription(work, self.command.subscription_id)
        if row.status in m.FINAL_STATUSES:
            raise _already_ended(self.command.subscription_id)
        is_scheduled_already = self.command.at == "period_end" and row.cancel_at_period_end
        return MutationIntent(
            stripe_subscription_id=None if is_scheduled_already else row.stripe_subscription_id,
            revision=row.stripe_revision,
        )

    async def call(self, intent: MutationIntent, stripe_id: str) -> StripeSubscription:
        """Cancel in Stripe; a schedule, which would renew the subscription, is released first.

        Raises Rejected `subscription_ended` if it ended in Stripe before the cancellation could be scheduled.
        """
        at_period_end, key = self.command.at == "period_end", self.steps.key("cancel")
        cancel = self.stripe.cancel_at_period_end if at_period_end else self.stripe.cancel_now
        present = await self.stripe.find_subscription(stripe_id) if at_period_end else None
        if present is not None:
            await release_schedule(self.stripe, present, f"{key}:release")
        try:
            return await cancel(stripe_id, reason=self.command.reason, key=key)
        except Rejected:
            present = await self.stripe.find_subscription(stripe_id)
            if present is None or present.status not in ("canceled", "incomplete_expired"):
                raise
            if at_period_end:
                raise _already_ended(self.command.subscription_id) from None
            return present

    async def record(
        self, intent: MutationIntent, work: UnitOfWork, revision: int, answer: StripeSubscription
    ) -> m.SubscriptionCanceled:
        """Write the subscription as Stripe has it now."""
        row = await lock_subscription(work, self.command.subscription_id)
        await apply_stripe_answer(work, row, revision, answer)
        return self._result(row)

    async def change_self_managed(self, intent: MutationIntent, work: UnitOfWork) -> m.SubscriptionCanceled:
        """Cancel a self-managed subscription; one in Stripe is set to cancel already."""
        row = await lock_subscription(work, self.command.subscription_id)
        if row.stripe_subscription_id is None:
            await _cancel_self_managed(work, row, self.command.at)
        return self._result(row)

    def _result(self, row: SubscriptionRow) -> m.SubscriptionCanceled:
        return m.SubscriptionCanceled(
            subscription=subscription_snapshot(row), ending=next(iter(self.previewed), None)
        )

    async def _preview(self) -> m.CancellationPreview | None:
        """Preview the end of the subscription; None if it has ended or Stripe cannot tell."""
        async with self.steps.transactions.read(asked=self.command.name, now=utc_now()) as work:
            row = await find_subscription(work.session, self.command.subscription_id)
            if row is None:
                return None
            try:
                return await preview_end(work, row, self.stripe, now=self.command.at == "now")
            except (Rejected, Unavailable):
                return None


async def _cancel_self_managed(
    work: UnitOfWork, row: SubscriptionRow, at: Literal["period_end", "now"]
) -> None:
    state = state_from_row(row)
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
