"""Ending an add-on with its customer's plan, which credits paid time after the end; undone if it goes on."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from pydantic import BaseModel

from services.subscriptions.add_ons.state_changes import add_on_snapshot
from services.subscriptions.domain.add_on_ends import EndChange, change_of_end
from services.subscriptions.domain.self_managed_periods import canceled
from services.subscriptions.domain.stripe_objects import StripeSubscription
from services.subscriptions.lifecycle.stripe_mutation import (
    MutationIntent,
    StripeMutation,
    apply_stripe_answer,
    lock_subscription,
)
from services.subscriptions.repository.add_ons import find_add_on
from services.subscriptions.repository.plan_ends import HeldAddOn, load_holdings
from services.subscriptions.service import service
from services.subscriptions.snapshots import state_from_row
from services.subscriptions.state_changes import change_subscription
from services.subscriptions.stripe.client import StripeGateway
from services.subscriptions.tables.add_ons import AddOnRow
from shared.errors import Rejected
from shared.ids import new_id
from shared.messaging.external_command import ExternalCommandSteps
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m

ENDED_IN_STRIPE = ("canceled", "incomplete_expired")
UNPAID_INVOICES = ("void", "uncollectible")
"""Invoices that nobody has paid or will pay."""


class AddOnEndIntent(MutationIntent):
    """The change of an add-on's end, as decided; `is_due` False: it has the right end already."""

    subscription_id: str
    is_due: bool = False
    at: datetime | None = None
    now: bool = False
    credit: bool = False
    is_other_credit: bool = False
    """Whether only the credit changes, for which Stripe needs the end to be set anew."""
    plan_end_at: datetime | None = None
    own_end_at: datetime | None = None


@service.external_command(m.EndAddOnWithPlan)
async def end_add_on_with_plan(
    steps: ExternalCommandSteps, command: m.EndAddOnWithPlan, stripe: StripeGateway
) -> m.AddOnFound:
    """Let an add-on end with the plan as it is now, or go on with it."""
    return await AddOnEnd(steps, stripe, command).run()


@dataclass(frozen=True, slots=True)
class AddOnEnd(StripeMutation[AddOnEndIntent, m.AddOnFound]):
    """One change of an add-on's end."""

    command: m.EndAddOnWithPlan

    intent_model: ClassVar[type[BaseModel]] = AddOnEndIntent

    async def plan(self, work: UnitOfWork) -> AddOnEndIntent:
        """Decide on the add-on's end by the plan's; raises Rejected `not_found`."""
        row = await self._add_on(work)
        subscription = await lock_subscription(work, str(row.subscription_id))
        row = await self._add_on(work)
        state, change = state_from_row(subscription), await _change(work, HeldAddOn(row, subscription))
        if change is None:
            return AddOnEndIntent(
                stripe_subscription_id=None, revision=0, subscription_id=subscription.subscription_id
            )
        return _intent(change, subscription.subscription_id).model_copy(
            update={
                "stripe_subscription_id": subscription.stripe_subscription_id,
                "revision": subscription.stripe_revision,
                "is_other_credit": not change.now and change.at is not None and change.at == state.ends_at,
            }
        )

    async def call(self, intent: AddOnEndIntent, stripe_id: str) -> StripeSubscription:
        """Change the end in Stripe; one that has passed is made now."""
        present = await self.stripe.find_subscription(stripe_id)
        if present is None or present.status in ENDED_IN_STRIPE:
            return await self._ended(present)
        credit = intent.credit and not await self._was_never_paid(present)
        if not intent.now:
            try:
                return await self._set_end(intent, stripe_id, credit=credit)
            except Rejected:
                present = await self.stripe.find_subscription(stripe_id)
                if intent.at is None or present is None or present.status in ENDED_IN_STRIPE:
                    return await self._ended(present)
        return await self._end_now(stripe_id, credit=credit)

    async def record(
        self, intent: AddOnEndIntent, work: UnitOfWork, revision: int, answer: StripeSubscription
    ) -> m.AddOnFound:
        """Write the subscription as Stripe has it now, and look whether the plan's end has changed again."""
        subscription = await lock_subscription(work, intent.subscription_id)
        row = await self._add_on(work)
        row.plan_end_at, row.own_end_at = intent.plan_end_at, intent.own_end_at
        row.plan_end_credit = intent.credit if intent.plan_end_at is not None else None
        await apply_stripe_answer(work, subscription, revision, answer)
        await work.session.flush()
        again = await _change(work, HeldAddOn(row, subscription))
        if again is not None and _intent(again, intent.subscription_id) != _decision(intent):
            work.send(
                m.EndAddOnWithPlan(
                    command_id=new_id("cmd"), requested_by="subscriptions", add_on_id=row.add_on_id
                )
            )
        return m.AddOnFound(add_on=add_on_snapshot(await self._add_on(work)))

    async def change_self_managed(self, intent: AddOnEndIntent, work: UnitOfWork) -> m.AddOnFound:
        """End a free add-on whose plan has ended; before that, nothing is set, since nothing is paid."""
        row = await self._add_on(work)
        if intent.is_due and intent.now:
            subscription = await lock_subscription(work, intent.subscription_id)
            state = state_from_row(subscription)
            if not state.is_final and subscription.stripe_subscription_id is None:
                await change_subscription(work, subscription, canceled(state, at=work.now))
                row = await self._add_on(work)
        return m.AddOnFound(add_on=add_on_snapshot(row))

    async def _set_end(self, intent: AddOnEndIntent, stripe_id: str, *, credit: bool) -> StripeSubscription:
        key = self.steps.key
        prorated = {"proration_behavior": "create_prorations" if credit else "none"}
        if intent.is_other_credit:
            await self.stripe.update_subscription(stripe_id, {"cancel_at": ""}, key=key("unset"))
        end = {"cancel_at": int(intent.at.timestamp()) if intent.at is not None else ""}
        return await self.stripe.update_subscription(stripe_id, end | prorated, key=key("end"))

    async def _end_now(self, stripe_id: str, *, credit: bool) -> StripeSubscription:
        try:
            return await self.stripe.cancel_now(
                stripe_id, reason=None, key=self.steps.key("cancel"), credit=credit
            )
        except Rejected:
            return await self._ended(await self.stripe.find_subscription(stripe_id))

    async def _ended(self, present: StripeSubscription | None) -> StripeSubscription:
        if present is None or present.status not in ENDED_IN_STRIPE:
            raise Rejected("not_found", "Stripe does not have the add-on's subscription any more.")
        return present

    async def _was_never_paid(self, present: StripeSubscription) -> bool:
        """Whether the running period's invoice was voided or given up, as during a pause."""
        if present.latest_invoice_id is None:
            return False
        invoice = await self.stripe.find_invoice(present.latest_invoice_id)
        return invoice is not None and invoice.get("status") in UNPAID_INVOICES

    async def _add_on(self, work: UnitOfWork) -> AddOnRow:
        await work.session.flush()
        row = await find_add_on(work.session, self.command.add_on_id)
        if row is None or row.version == 0:
            raise Rejected("not_found", f"There is no add-on {self.command.add_on_id}.")
        return row


async def _change(work: UnitOfWork, held: HeldAddOn) -> EndChange | None:
    """Return how the add-on's end has to change; None if it need not, or if it has ended."""
    if held.state.is_final:
        return None
    return change_of_end(held.state, held.followed, (await load_holdings(work, held.row.customer)).plan_end)


def _intent(change: EndChange, subscription_id: str) -> AddOnEndIntent:
    follows = change.follows
    return AddOnEndIntent(
        stripe_subscription_id=None,
        revision=0,
        subscription_id=subscription_id,
        is_due=True,
        at=change.at,
        now=change.now,
        credit=change.credit,
        plan_end_at=follows.at if follows is not None else None,
        own_end_at=follows.own if follows is not None else None,
    )


def _decision(intent: AddOnEndIntent) -> AddOnEndIntent:
    """Return what was decided, without what it was decided for."""
    return intent.model_copy(update={"stripe_subscription_id": None, "revision": 0, "is_other_credit": False})
