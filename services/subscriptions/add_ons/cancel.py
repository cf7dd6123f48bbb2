"""Canceling an add-on by canceling its subscription."""

from dataclasses import dataclass
from typing import ClassVar

from pydantic import BaseModel

from services.subscriptions.add_ons.state_changes import add_on_snapshot
from services.subscriptions.domain.stripe_objects import StripeSubscription
from services.subscriptions.lifecycle.cancel import Cancellation
from services.subscriptions.lifecycle.stripe_mutation import MutationIntent, StripeMutation
from services.subscriptions.repository.add_ons import find_add_on
from services.subscriptions.service import service
from services.subscriptions.stripe.client import StripeGateway
from services.subscriptions.tables.add_ons import AddOnRow
from shared.errors import Rejected
from shared.messaging.external_command import ExternalCommandSteps
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m


class AddOnCancellationIntent(MutationIntent):
    """The subscription of the add-on to cancel."""

    subscription_id: str
    has_ended: bool
    """Whether it has ended already, so that nothing is left to do."""


@service.external_command(m.CancelAddOn)
async def cancel_add_on(
    steps: ExternalCommandSteps, command: m.CancelAddOn, stripe: StripeGateway
) -> m.AddOnFound:
    """Cancel an add-on, now or when its period ends."""
    return await AddOnCancellation(steps, stripe, command).run()


@dataclass(frozen=True, slots=True)
class AddOnCancellation(StripeMutation[AddOnCancellationIntent, m.AddOnFound]):
    """The cancellation of an add-on with its subscription."""

    command: m.CancelAddOn

    intent_model: ClassVar[type[BaseModel]] = AddOnCancellationIntent

    async def plan(self, work: UnitOfWork) -> AddOnCancellationIntent:
        """Find the add-on; raises Rejected `not_found` for one that was never paid for."""
        row = await _require_purchased(work, self.command.add_on_id)
        subscription_id = str(row.subscription_id)
        if row.status in m.FINAL_STATUSES:
            return AddOnCancellationIntent(
                stripe_subscription_id=None, revision=0, subscription_id=subscription_id, has_ended=True
            )
        planned = await self._cancellation(subscription_id).plan(work)
        return AddOnCancellationIntent(**dict(planned), subscription_id=subscription_id, has_ended=False)

    async def call(self, intent: AddOnCancellationIntent, stripe_id: str) -> StripeSubscription:
        """Cancel the subscription in Stripe."""
        return await self._cancellation(intent.subscription_id).call(intent, stripe_id)

    async def record(
        self, intent: AddOnCancellationIntent, work: UnitOfWork, revision: int, answer: StripeSubscription
    ) -> m.AddOnFound:
        """Write the subscription as Stripe has it now, and with it the add-on."""
        await self._cancellation(intent.subscription_id).record(intent, work, revision, answer)
        return await self._found(work)

    async def change_self_managed(self, intent: AddOnCancellationIntent, work: UnitOfWork) -> m.AddOnFound:
        """Cancel a self-managed subscription, unless it has ended."""
        if not intent.has_ended:
            await self._cancellation(intent.subscription_id).change_self_managed(intent, work)
        return await self._found(work)

    def _cancellation(self, subscription_id: str) -> Cancellation:
        command = m.CancelSubscription(
            command_id=self.command.command_id, subscription_id=subscription_id, at=self.command.at
        )
        return Cancellation(self.steps, self.stripe, command)

    async def _found(self, work: UnitOfWork) -> m.AddOnFound:
        return m.AddOnFound(add_on=add_on_snapshot(await _require_purchased(work, self.command.add_on_id)))


async def _require_purchased(work: UnitOfWork, add_on_id: str) -> AddOnRow:
    await work.session.flush()
    row = await find_add_on(work.session, add_on_id)
    if row is None or row.version == 0:
        raise Rejected("not_found", f"There is no add-on {add_on_id}.", {"add_on_id": add_on_id})
    return row
