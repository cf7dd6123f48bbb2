"""Pausing and resuming a subscription, and revoking its cancellation."""

from dataclasses import dataclass
from typing import Any

from services.subscriptions.domain.catalog_lookup import CatalogLookup
from services.subscriptions.domain.self_managed_changes import apply_scheduled_change
from services.subscriptions.domain.self_managed_periods import paused, reactivated, resumed
from services.subscriptions.domain.stripe_objects import StripeSubscription
from services.subscriptions.domain.subscription_state import State
from services.subscriptions.lifecycle.stripe_mutation import (
    MutationIntent,
    StripeMutation,
    apply_stripe_answer,
    lock_subscription,
)
from services.subscriptions.repository.catalog import load_catalog
from services.subscriptions.service import service
from services.subscriptions.snapshots import (
    period_from_row,
    state_from_row,
    subscription_snapshot,
    write_period,
)
from services.subscriptions.state_changes import change_subscription
from services.subscriptions.stripe.client import StripeGateway
from services.subscriptions.tables.subscriptions import SubscriptionRow
from shared.errors import Rejected
from shared.messaging.external_command import ExternalCommandSteps
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m

PauseCommand = m.ReactivateSubscription | m.PauseSubscription | m.ResumeSubscription

_STRIPE_PARAMS: dict[type[PauseCommand], dict[str, Any]] = {
    m.ReactivateSubscription: {"cancel_at_period_end": False},
    # Invoices of a pause are voided, so they are never owed.
    m.PauseSubscription: {"pause_collection": {"behavior": "void"}},
    m.ResumeSubscription: {"pause_collection": ""},
}
"""Stripe's parameters of the update, by command."""


@service.external_command(m.ReactivateSubscription)
async def reactivate_subscription(
    steps: ExternalCommandSteps, command: m.ReactivateSubscription, stripe: StripeGateway
) -> m.SubscriptionFound:
    """Revoke a cancellation at the end of the period."""
    return await PauseOrResume(steps, stripe, command).run()


@service.external_command(m.PauseSubscription)
async def pause_subscription(
    steps: ExternalCommandSteps, command: m.PauseSubscription, stripe: StripeGateway
) -> m.SubscriptionFound:
    """Stop collecting payments and granting features until the subscription is resumed."""
    return await PauseOrResume(steps, stripe, command).run()


@service.external_command(m.ResumeSubscription)
async def resume_subscription(
    steps: ExternalCommandSteps, command: m.ResumeSubscription, stripe: StripeGateway
) -> m.SubscriptionFound:
    """Collect payments and grant features again."""
    return await PauseOrResume(steps, stripe, command).run()


class PauseIntent(MutationIntent):
    """The subscription to reactivate, pause or resume."""

    has_cancel_date: bool = False
    """Whether Stripe has a date for its end, which is not unset with `cancel_at_period_end`."""


@dataclass(frozen=True, slots=True)
class PauseOrResume(StripeMutation[PauseIntent, m.SubscriptionFound]):
    """The reactivation, pause or resumption of a subscription."""

    command: PauseCommand

    intent_model = PauseIntent

    async def plan(self, work: UnitOfWork) -> PauseIntent:
        """Check that the command is possible; raises Rejected `not_found` and as `require_possible`."""
        row = await lock_subscription(work, self.command.subscription_id)
        require_possible(self.command, row, work)
        return PauseIntent(
            stripe_subscription_id=row.stripe_subscription_id,
            revision=row.stripe_revision,
            has_cancel_date=row.cancel_at is not None,
        )

    async def call(self, intent: PauseIntent, stripe_id: str) -> StripeSubscription:
        """Change the subscription in Stripe."""
        change = _STRIPE_PARAMS[type(self.command)]
        if intent.has_cancel_date and isinstance(self.command, m.ReactivateSubscription):
            change = {"cancel_at": ""}
        try:
            if await self._is_paused_in_stripe(stripe_id):
                return await self.stripe.resume_subscription(stripe_id, key=self.steps.key("resume"))
            return await self.stripe.update_subscription(stripe_id, change, key=self.steps.key("change"))
        except Rejected:
            present = await self.stripe.find_subscription(stripe_id)
            if present is None or present.status in ("canceled", "incomplete_expired"):
                raise _rejection(self.command, "The subscription has ended.") from None
            raise

    async def record(
        self, intent: PauseIntent, work: UnitOfWork, revision: int, answer: StripeSubscription
    ) -> m.SubscriptionFound:
        """Write the subscription as Stripe has it now."""
        row = await lock_subscription(work, self.command.subscription_id)
        await apply_stripe_answer(work, row, revision, answer)
        return m.SubscriptionFound(subscription=subscription_snapshot(row))

    async def change_self_managed(self, intent: PauseIntent, work: UnitOfWork) -> m.SubscriptionFound:
        """Change a self-managed subscription; checked again, because another command may have changed it."""
        row = await lock_subscription(work, self.command.subscription_id)
        require_possible(self.command, row, work)
        after = _self_managed_state(self.command, row, await load_catalog(work), work)
        await change_subscription(work, row, after)
        return m.SubscriptionFound(subscription=subscription_snapshot(row))

    async def _is_paused_in_stripe(self, stripe_id: str) -> bool:
        """Whether the subscription itself is paused in Stripe; we pause only its collection."""
        if not isinstance(self.command, m.ResumeSubscription):
            return False
        present = await self.stripe.find_subscription(stripe_id)
        return present is not None and present.status == "paused"


def require_possible(command: PauseCommand, row: SubscriptionRow, work: UnitOfWork) -> None:
    """Raise Rejected unless the command is possible in the subscription's state."""
    match command:
        case m.ReactivateSubscription():
            end = row.current_period_end
            is_self_managed = row.stripe_subscription_id is None
            is_over = row.cancel_at_period_end and is_self_managed and end is not None and end <= work.now
            if row.ended_at is not None or is_over:
                raise _rejection(command, "The subscription has ended.")
            if not state_from_row(row).is_canceling:
                raise Rejected(
                    "subscription_not_canceling",
                    "The subscription goes on anyway.",
                    {"subscription_id": row.subscription_id},
                )
        case m.PauseSubscription():
            if row.status not in ("active", "trialing"):
                raise _rejection(command, f"The subscription is {row.status}.")
        case m.ResumeSubscription():
            if row.status != "paused":
                raise _rejection(command, f"The subscription is {row.status}.")


def _rejection(command: PauseCommand, message: str) -> Rejected:
    codes: dict[type[PauseCommand], str] = {
        m.ReactivateSubscription: "subscription_ended",
        m.PauseSubscription: "subscription_not_active",
        m.ResumeSubscription: "subscription_not_paused",
    }
    return Rejected(codes[type(command)], message, {"subscription_id": command.subscription_id})


def _self_managed_state(
    command: PauseCommand, row: SubscriptionRow, catalog: CatalogLookup, work: UnitOfWork
) -> State:
    state = state_from_row(row)
    match command:
        case m.ReactivateSubscription():
            return reactivated(state)
        case m.PauseSubscription():
            return paused(state)
        case m.ResumeSubscription():
            # A change that was scheduled for a period that ended during the pause takes effect.
            changed, anchor, every = apply_scheduled_change(state, catalog, *period_from_row(row), work.now)
            write_period(row, anchor, every)
            return resumed(changed, catalog, anchor, every, work.now)
