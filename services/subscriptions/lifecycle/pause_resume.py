"""The steps of reactivating, pausing and resuming: three wishes that Stripe, or we, carry out alike."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from services.subscriptions.catalog.repository import load_catalog
from services.subscriptions.domain.catalog_lookup import CatalogLookup
from services.subscriptions.domain.self_managed_changes import take_scheduled
from services.subscriptions.domain.self_managed_periods import paused, reactivated, resumed
from services.subscriptions.domain.stripe_objects import StripeSubscription
from services.subscriptions.domain.subscription_state import State
from services.subscriptions.lifecycle.optimistic_write import locked, record_until_current, take_over
from services.subscriptions.service import service
from services.subscriptions.snapshots import state_of_row, subscription_snapshot
from services.subscriptions.state_changes import change_subscription
from services.subscriptions.stripe.client import StripeGateway
from services.subscriptions.tables.subscriptions import SubscriptionRow
from shared.errors import Rejected
from shared.messaging.external_command import Steps
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m

Interruption = m.ReactivateSubscription | m.PauseSubscription | m.ResumeSubscription

_IN_STRIPE: dict[type[Interruption], dict[str, Any]] = {
    m.ReactivateSubscription: {"cancel_at_period_end": False},
    # Void: what would have been invoiced during a pause is never owed.
    m.PauseSubscription: {"pause_collection": {"behavior": "void"}},
    m.ResumeSubscription: {"pause_collection": ""},
}
"""What Stripe is told to change of the subscription."""


class Plan(BaseModel):
    """Which subscription in Stripe is meant, if any, and how far its events were applied."""

    model_config = ConfigDict(frozen=True)

    stripe_subscription_id: str | None
    revision: int


@dataclass(frozen=True, slots=True)
class Interrupting:
    """One such wish on its way."""

    steps: Steps
    command: Interruption
    stripe: StripeGateway

    async def carry_out(self) -> m.SubscriptionFound:
        """Check, have Stripe do it where it has the subscription, and write what it is then.

        Raises Rejected `not_found`, and the codes of `refuse_unless_possible`.
        """
        plan = await self.steps.intend(self._plan, Plan)
        stripe_id = plan.stripe_subscription_id
        if stripe_id is None:
            return await self.steps.record(self._change_own)
        answer = await self._ask(stripe_id)
        return await record_until_current(self.steps, self.stripe, plan.revision, answer, self._record)

    async def _plan(self, work: UnitOfWork) -> Plan:
        row = await locked(work, self.command.subscription_id)
        refuse_unless_possible(self.command, row, work)
        return Plan(stripe_subscription_id=row.stripe_subscription_id, revision=row.stripe_revision)

    async def _ask(self, stripe_id: str) -> StripeSubscription:
        change = _IN_STRIPE[type(self.command)]
        try:
            if await self._has_stopped(stripe_id):
                return await self.stripe.resume_subscription(stripe_id, key=self.steps.key("resume"))
            return await self.stripe.update_subscription(stripe_id, change, key=self.steps.key("change"))
        except Rejected:
            present = await self.stripe.find_subscription(stripe_id)
            if present is None or present.status in ("canceled", "incomplete_expired"):
                raise _refusal(self.command, "The subscription has ended.") from None
            raise

    async def _has_stopped(self, stripe_id: str) -> bool:
        """Whether the subscription itself was paused in Stripe, where we only pause its collection."""
        if not isinstance(self.command, m.ResumeSubscription):
            return False
        present = await self.stripe.find_subscription(stripe_id)
        return present is not None and present.status == "paused"

    async def _record(
        self, work: UnitOfWork, revision: int, answer: StripeSubscription
    ) -> m.SubscriptionFound:
        row = await locked(work, self.command.subscription_id)
        await take_over(work, row, revision, answer)
        return m.SubscriptionFound(subscription=subscription_snapshot(row))

    async def _change_own(self, work: UnitOfWork) -> m.SubscriptionFound:
        row = await locked(work, self.command.subscription_id)
        # Again: another command may have come in between.
        refuse_unless_possible(self.command, row, work)
        after = _own(self.command, row, await load_catalog(work), work)
        await change_subscription(work, row, after)
        return m.SubscriptionFound(subscription=subscription_snapshot(row))


@service.external_command(m.ReactivateSubscription)
async def reactivate_subscription(
    steps: Steps, command: m.ReactivateSubscription, stripe: StripeGateway
) -> m.SubscriptionFound:
    """Take back the wish to end with the period."""
    return await Interrupting(steps, command, stripe).carry_out()


@service.external_command(m.PauseSubscription)
async def pause_subscription(
    steps: Steps, command: m.PauseSubscription, stripe: StripeGateway
) -> m.SubscriptionFound:
    """Collect nothing and give nothing until it is resumed."""
    return await Interrupting(steps, command, stripe).carry_out()


@service.external_command(m.ResumeSubscription)
async def resume_subscription(
    steps: Steps, command: m.ResumeSubscription, stripe: StripeGateway
) -> m.SubscriptionFound:
    """Collect and give again."""
    return await Interrupting(steps, command, stripe).carry_out()


def refuse_unless_possible(command: Interruption, row: SubscriptionRow, work: UnitOfWork) -> None:
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


def _refusal(command: Interruption, message: str) -> Rejected:
    codes: dict[type[Interruption], str] = {
        m.ReactivateSubscription: "subscription_ended",
        m.PauseSubscription: "subscription_not_active",
        m.ResumeSubscription: "subscription_not_paused",
    }
    return Rejected(codes[type(command)], message, {"subscription_id": command.subscription_id})


def _own(command: Interruption, row: SubscriptionRow, catalog: CatalogLookup, work: UnitOfWork) -> State:
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
