"""Pausing and resuming a subscription, and taking a cancellation back."""

from dataclasses import dataclass
from typing import Any

from services.subscriptions.domain.catalog_lookup import CatalogLookup
from services.subscriptions.domain.self_managed_changes import take_scheduled
from services.subscriptions.domain.self_managed_periods import paused, reactivated, resumed
from services.subscriptions.domain.stripe_objects import StripeSubscription
from services.subscriptions.domain.subscription_state import State
from services.subscriptions.lifecycle.stripe_mutation import (
    MutationIntent,
    StripeMutation,
    locked,
    take_over,
)
from services.subscriptions.repository.catalog import load_catalog
from services.subscriptions.service import service
from services.subscriptions.snapshots import state_of_row, subscription_snapshot
from services.subscriptions.state_changes import change_subscription
from services.subscriptions.stripe.client import StripeGateway
from services.subscriptions.tables.subscriptions import SubscriptionRow
from shared.errors import Rejected
from shared.messaging.external_command import ExternalCommandSteps
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m

PauseCommand = m.ReactivateSubscription | m.PauseSubscription | m.ResumeSubscription

_IN_STRIPE: dict[type[PauseCommand], dict[str, Any]] = {
    m.ReactivateSubscription: {"cancel_at_period_end": False},
    # Void: what would have been invoiced during a pause is never owed.
    m.PauseSubscription: {"pause_collection": {"behavior": "void"}},
    m.ResumeSubscription: {"pause_collection": ""},
}
"""What Stripe is told to change of the subscription."""


@service.external_command(m.ReactivateSubscription)
async def reactivate_subscription(
    steps: ExternalCommandSteps, command: m.ReactivateSubscription, stripe: StripeGateway
) -> m.SubscriptionFound:
    """Take back a cancellation at the end of the period."""
    return await PauseOrResume(steps, stripe, command).run()


@service.external_command(m.PauseSubscription)
async def pause_subscription(
    steps: ExternalCommandSteps, command: m.PauseSubscription, stripe: StripeGateway
) -> m.SubscriptionFound:
    """Collect no payments and give no features until the subscription is resumed."""
    return await PauseOrResume(steps, stripe, command).run()


@service.external_command(m.ResumeSubscription)
async def resume_subscription(
    steps: ExternalCommandSteps, command: m.ResumeSubscription, stripe: StripeGateway
) -> m.SubscriptionFound:
    """Collect payments and give features again."""
    return await PauseOrResume(steps, stripe, command).run()


@dataclass(frozen=True, slots=True)
class PauseOrResume(StripeMutation[MutationIntent, m.SubscriptionFound]):
    """A subscription that is reactivated, paused or resumed."""

    command: PauseCommand

    async def plan(self, work: UnitOfWork) -> MutationIntent:
        """Raise Rejected `not_found`, or with the codes of `require_possible`."""
        row = await locked(work, self.command.subscription_id)
        require_possible(self.command, row, work)
        return MutationIntent(stripe_subscription_id=row.stripe_subscription_id, revision=row.stripe_revision)

    async def call(self, intent: MutationIntent, stripe_id: str) -> StripeSubscription:
        """Change the subscription in Stripe."""
        change = _IN_STRIPE[type(self.command)]
        try:
            if await self._is_paused_itself(stripe_id):
                return await self.stripe.resume_subscription(stripe_id, key=self.steps.key("resume"))
            return await self.stripe.update_subscription(stripe_id, change, key=self.steps.key("change"))
        except Rejected:
            present = await self.stripe.find_subscription(stripe_id)
            if present is None or present.status in ("canceled", "incomplete_expired"):
                raise _refusal(self.command, "The subscription has ended.") from None
            raise

    async def record(
        self, intent: MutationIntent, work: UnitOfWork, revision: int, answer: StripeSubscription
    ) -> m.SubscriptionFound:
        """Write the subscription as Stripe has it now."""
        row = await locked(work, self.command.subscription_id)
        await take_over(work, row, revision, answer)
        return m.SubscriptionFound(subscription=subscription_snapshot(row))

    async def change_own(self, intent: MutationIntent, work: UnitOfWork) -> m.SubscriptionFound:
        """Change a subscription of our own, checked again: another command may have come in between."""
        row = await locked(work, self.command.subscription_id)
        require_possible(self.command, row, work)
        after = _own(self.command, row, await load_catalog(work), work)
        await change_subscription(work, row, after)
        return m.SubscriptionFound(subscription=subscription_snapshot(row))

    async def _is_paused_itself(self, stripe_id: str) -> bool:
        """Whether the subscription is paused in Stripe; we pause only the collection of payments."""
        if not isinstance(self.command, m.ResumeSubscription):
            return False
        present = await self.stripe.find_subscription(stripe_id)
        return present is not None and present.status == "paused"


def require_possible(command: PauseCommand, row: SubscriptionRow, work: UnitOfWork) -> None:
    """Raise Rejected unless the subscription is one that this can be done to."""
    match command:
        case m.ReactivateSubscription():
            end = row.current_period_end
            is_our_own = row.stripe_subscription_id is None
            is_over = row.cancel_at_period_end and is_our_own and end is not None and end <= work.now
            if row.ended_at is not None or is_over:
                raise _refusal(command, "The subscription has ended.")
            if not row.cancel_at_period_end:
                raise Rejected(
                    "subscription_not_canceling",
                    "The subscription goes on anyway.",
                    {"subscription_id": row.subscription_id},
                )
        case m.PauseSubscription():
            if row.status not in ("active", "trialing"):
                raise _refusal(command, f"The subscription is {row.status}.")
        case m.ResumeSubscription():
            if row.status != "paused":
                raise _refusal(command, f"The subscription is {row.status}.")


def _refusal(command: PauseCommand, message: str) -> Rejected:
    codes: dict[type[PauseCommand], str] = {
        m.ReactivateSubscription: "subscription_ended",
        m.PauseSubscription: "subscription_not_active",
        m.ResumeSubscription: "subscription_not_paused",
    }
    return Rejected(codes[type(command)], message, {"subscription_id": command.subscription_id})


def _own(command: PauseCommand, row: SubscriptionRow, catalog: CatalogLookup, work: UnitOfWork) -> State:
    state = state_of_row(row)
    match command:
        case m.ReactivateSubscription():
            return reactivated(state)
        case m.PauseSubscription():
            return paused(state)
        case m.ResumeSubscription():
            anchor, interval = row.period_anchor, row.period_interval
            if anchor is None or interval is None:
                raise RuntimeError(f"{row.subscription_id} has a period of our own but no rhythm")
            # What was to change with a period that has ended meanwhile has changed.
            taken, anchor, interval = take_scheduled(state, catalog, anchor, interval, work.now)
            row.period_anchor, row.period_interval = anchor, interval
            return resumed(taken, catalog, anchor, interval, work.now)
