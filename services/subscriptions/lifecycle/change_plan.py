"""Changing a plan or quantity, and canceling a scheduled change.

The change is made in Stripe first, and its answer is written then; a failure there, of a payment above all,
changes nothing. Self-managed subscriptions are changed here alone.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import ClassVar, Literal

from pydantic import BaseModel, JsonValue

from services.subscriptions.domain.catalog.catalog_view import CatalogView
from services.subscriptions.domain.orders import find_subscription_with_plan
from services.subscriptions.domain.plan_changes import ChangeRequest, PlanChange, SeatsInUse, decide_change
from services.subscriptions.domain.self_managed_changes import apply_change_now, with_scheduled_change
from services.subscriptions.domain.stripe_objects import StripeSubscription
from services.subscriptions.lifecycle.agreed_change import agreed_proration_date
from services.subscriptions.lifecycle.seat_quota import SeatQuota, release_quota
from services.subscriptions.lifecycle.stripe_mutation import (
    MutationIntent,
    StripeMutation,
    apply_stripe_answer,
    lock_subscription,
)
from services.subscriptions.rejections import as_rejection, require_agreed_amount
from services.subscriptions.repository.catalog import load_catalog
from services.subscriptions.repository.subscriptions import live_subscriptions
from services.subscriptions.service import service
from services.subscriptions.snapshots import state_from_row, subscription_snapshot, write_period
from services.subscriptions.state_changes import change_subscription
from services.subscriptions.stripe.client import StripeGateway
from services.subscriptions.stripe.item_changes import ItemChange
from services.subscriptions.stripe.schedules import release_schedule, schedule_change
from services.subscriptions.stripe.subscription_updates import change_now, get_subscription
from services.subscriptions.tables.subscriptions import SubscriptionRow
from shared.errors import Rejected, Unavailable
from shared.messaging.external_command import ExternalCommandSteps
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Money

ChangeCommand = m.ChangePlan | m.ChangeQuantity | m.ChangeHeldQuantity


class ChangeIntent(MutationIntent):
    """The planned change."""

    how: Literal["nothing", "unschedule", "now", "period_end"]
    in_stripe: ItemChange | None
    seats_left: int | None = None
    """The new number of seats if it is smaller; `seats` is asked whether they are enough."""
    license_seats_left: int | None = None
    """The same for a plan with a license; `licenses` is asked, also if `seats` holds them already."""


@service.external_command(m.ChangePlan)
async def change_plan(
    steps: ExternalCommandSteps, command: m.ChangePlan, stripe: StripeGateway, quota: SeatQuota
) -> m.SubscriptionChanged:
    """Change the price of a subscription."""
    return await PlanOrQuantityChange(steps, stripe, command, quota).run()


@service.external_command(m.ChangeQuantity)
async def change_quantity(
    steps: ExternalCommandSteps, command: m.ChangeQuantity, stripe: StripeGateway, quota: SeatQuota
) -> m.SubscriptionChanged:
    """Change the quantity of a subscription."""
    return await PlanOrQuantityChange(steps, stripe, command, quota).run()


@service.external_command(m.ChangeHeldQuantity)
async def change_held_quantity(
    steps: ExternalCommandSteps, command: m.ChangeHeldQuantity, stripe: StripeGateway, quota: SeatQuota
) -> m.SubscriptionChanged:
    """Change the quantity to a number of seats that `seats` holds already."""
    return await PlanOrQuantityChange(steps, stripe, command, quota).run()


@dataclass(frozen=True, slots=True)
class PlanOrQuantityChange(StripeMutation[ChangeIntent, m.SubscriptionChanged]):
    """The change of a subscription's price or quantity."""

    command: ChangeCommand
    quota: SeatQuota

    intent_model: ClassVar[type[BaseModel]] = ChangeIntent

    async def execute(self, intent: ChangeIntent) -> m.SubscriptionChanged:
        """Hold the remaining seats if their number gets smaller, then make the change."""
        if intent.license_seats_left is not None:
            await self.quota.confirm_license(
                self.command.command_id,
                subscription_id=self.command.subscription_id,
                quantity=intent.license_seats_left,
            )
        if intent.seats_left is None:
            return await StripeMutation.execute(self, intent)
        await self.quota.hold(
            self.command.command_id,
            subscription_id=self.command.subscription_id,
            quantity=intent.seats_left,
            when=self.command.when,
        )
        try:
            return await StripeMutation.execute(self, intent)
        except Rejected:
            await self._release_quota()
            raise

    async def plan(self, work: UnitOfWork) -> ChangeIntent:
        """Decide on the change.

        Raises Rejected with the codes of `decide_change`, `not_found` and `already_subscribed`.
        """
        row = await lock_subscription(work, self.command.subscription_id)
        seats_are_held = self.quota.asks_seats or self._seats_are_held()
        change = await plan_change(
            work, row, build_change_request(self.command), seats_are_held=seats_are_held
        )
        catalog = await load_catalog(work)
        in_stripe = item_change(change, catalog) if row.stripe_subscription_id is not None else None
        seats_left = self._seats_left(change)
        return ChangeIntent(
            how=change.how,
            stripe_subscription_id=None if change.how == "nothing" else row.stripe_subscription_id,
            revision=row.stripe_revision,
            in_stripe=in_stripe,
            seats_left=None if self._seats_are_held() else seats_left,
            license_seats_left=seats_left if change.item.license is not None else None,
        )

    async def call(self, intent: ChangeIntent, stripe_id: str) -> StripeSubscription:
        """Change the subscription in Stripe.

        Raises Rejected `payment_failed` and `subscription_not_active`.
        """
        try:
            return await self._call(intent, stripe_id)
        except Rejected as rejection:
            raise await self._explain_rejection(rejection, stripe_id) from rejection

    async def record(
        self, intent: ChangeIntent, work: UnitOfWork, revision: int, answer: StripeSubscription
    ) -> m.SubscriptionChanged:
        """Write the subscription as Stripe has it now."""
        row = await lock_subscription(work, self.command.subscription_id)
        await apply_stripe_answer(work, row, revision, answer)
        return self._result(work, row, intent)

    async def change_self_managed(self, intent: ChangeIntent, work: UnitOfWork) -> m.SubscriptionChanged:
        """Change a self-managed subscription."""
        row = await lock_subscription(work, self.command.subscription_id)
        seats_are_held = intent.seats_left is not None or self._seats_are_held()
        change = await plan_change(
            work, row, build_change_request(self.command), seats_are_held=seats_are_held
        )
        if change.how != "nothing" and row.stripe_subscription_id is not None:
            raise Unavailable("The subscription has just changed.")
        await _change_self_managed(work, row, change)
        return self._result(work, row, intent)

    def _result(self, work: UnitOfWork, row: SubscriptionRow, intent: ChangeIntent) -> m.SubscriptionChanged:
        if intent.seats_left is not None:
            about = row.subscription_id
            release_quota(work, self.command.command_id, subscription_id=about, version=row.version)
        snapshot = subscription_snapshot(row)
        return m.SubscriptionChanged(subscription=snapshot, scheduled_change=snapshot.scheduled_change)

    def _seats_are_held(self) -> bool:
        """Whether `seats` has already checked that the seats are enough."""
        return isinstance(self.command, m.ChangeHeldQuantity)

    def _seats_left(self, change: PlanChange) -> int | None:
        if not self.quota.asks_seats:
            return None
        if change.item.seats is None or change.how not in ("now", "period_end"):
            return None
        left = change.quantity if change.product.seats is not None else 0
        return left if left < change.item.quantity else None

    async def _release_quota(self) -> None:
        """Release the held seats before the rejection is stored, so that a crash in between repeats it."""
        about = self.command.subscription_id
        async with self.steps.transactions.begin(
            caused_by=self.command.command_id, now=self.steps.received_at
        ) as work:
            release_quota(work, self.command.command_id, subscription_id=about, version=0)

    async def _call(self, intent: ChangeIntent, stripe_id: str) -> StripeSubscription:
        present, key = await get_subscription(self.stripe, stripe_id), self.steps.key
        agreed = self.command.due_now
        if agreed is not None and intent.how != "now":
            require_agreed_amount(agreed, Money(amount=0, currency=agreed.currency))
        if intent.how == "unschedule" or intent.in_stripe is None:
            return await release_schedule(self.stripe, present, key("release"))
        if intent.how == "now":
            at = await self._agreed_moment(present, intent.in_stripe)
            answer = await change_now(
                self.stripe, present, intent.in_stripe, self.command.proration, key("change"), at=at
            )
            # Only after the payment has succeeded: if it fails, the scheduled change is kept.
            return await release_schedule(self.stripe, answer, key("release"))
        keys = (key("schedule"), key("phases"))
        await schedule_change(self.stripe, present, intent.in_stripe, keys)
        return await get_subscription(self.stripe, stripe_id)

    async def _agreed_moment(self, present: StripeSubscription, change: ItemChange) -> datetime | None:
        """Return the moment from which the change is prorated; raises Rejected `amount_changed`."""
        command = self.command
        if command.due_now is None:
            return None
        return await agreed_proration_date(
            self.stripe,
            present,
            change,
            command.proration,
            due_now=command.due_now,
            proration_date=command.proration_date,
        )

    async def _explain_rejection(self, rejection: Rejected, stripe_id: str) -> Rejected:
        """Return `subscription_not_active` if that is why Stripe rejected the change, else the rejection."""
        if rejection.error.code in ("payment_failed", "amount_changed"):
            return rejection
        present = await get_subscription(self.stripe, stripe_id)
        if present.status in m.CHANGEABLE_STATUSES:
            return rejection
        return Rejected(
            "subscription_not_active",
            f"The subscription is {present.status} in Stripe.",
            {"status": present.status},
        )


async def plan_change(
    work: UnitOfWork, row: SubscriptionRow, request: ChangeRequest, *, seats_are_held: bool = False
) -> PlanChange:
    """Decide what a requested change means for a subscription.

    With `seats_are_held`, `seats` decides whether fewer seats are enough. Raises Rejected with the codes of
    `decide_change`, and `already_subscribed` if another subscription of the customer is to the requested
    plan.
    """
    catalog, state = await load_catalog(work), state_from_row(row)
    in_use = SeatsInUse() if seats_are_held else SeatsInUse(row.seats_occupied, row.members_reported)
    change = as_rejection(lambda: decide_change(catalog, state, request, in_use))
    if change.product.code not in state.products:
        await _require_plan_not_held(work, row, change.product.code)
    return change


def build_change_request(asked: ChangeCommand | m.PreviewChange) -> ChangeRequest:
    """Build the request of a command or a preview."""
    price = asked.price if isinstance(asked, m.ChangePlan | m.PreviewChange) else None
    return ChangeRequest(price=price, quantity=asked.quantity, when=asked.when)


def item_change(change: PlanChange, catalog: CatalogView) -> ItemChange:
    """Convert a change to Stripe's ids; raises Rejected `payments_not_configured` if one is missing."""
    before, after = change.item.stripe_price_id, change.price.stripe_price_id
    if before is None or after is None:
        raise Rejected(
            "payments_not_configured",
            f"{change.price.code!r} is not in Stripe yet. Apply the catalog again.",
            {"price": change.price.code},
        )
    return ItemChange(
        before=before,
        after=after,
        quantity=change.quantity,
        interval=change.every.interval,
        interval_count=change.every.count,
        tax_rates=None
        if change.keeps_negotiated_price or not catalog.tax_rates
        else catalog.stripe_tax_rates(change.price.tax_rates),
        known_tax_rates=catalog.stripe_tax_rates(catalog.tax_rates),
    )


async def _require_plan_not_held(work: UnitOfWork, row: SubscriptionRow, plan: str) -> None:
    others = [other for other in await live_subscriptions(work.session, row.customer) if other is not row]
    held = find_subscription_with_plan(
        [plan], ((other.subscription_id, state_from_row(other)) for other in others)
    )
    if held is not None:
        raise Rejected(
            "already_subscribed",
            "Another subscription of this customer is for that plan.",
            {"subscription_id": held},
        )


async def _change_self_managed(work: UnitOfWork, row: SubscriptionRow, change: PlanChange) -> None:
    state = state_from_row(row)
    if change.how == "unschedule":
        await change_subscription(work, row, replace(state, scheduled_change=None))
    elif change.how == "period_end":
        await change_subscription(work, row, with_scheduled_change(state, change))
    elif change.how == "now":
        catalog: CatalogView = await load_catalog(work)
        if change.is_restart:
            write_period(row, state.trial_end if state.status == "trialing" else work.now, change.every)
        await change_subscription(work, row, apply_change_now(state, catalog, change, work.now))


@service.external_command(m.CancelScheduledChange)
async def cancel_scheduled_change(
    steps: ExternalCommandSteps, command: m.CancelScheduledChange, stripe: StripeGateway
) -> m.SubscriptionFound:
    """Cancel the change that is scheduled for the end of the period."""
    return await ScheduledChangeCancellation(steps, stripe, command).run()


@dataclass(frozen=True, slots=True)
class ScheduledChangeCancellation(StripeMutation[MutationIntent, m.SubscriptionFound]):
    """The cancellation of a scheduled change."""

    command: m.CancelScheduledChange

    async def plan(self, work: UnitOfWork) -> MutationIntent:
        """Check that a change is scheduled; raises Rejected.

        The codes are `not_found`, `nothing_scheduled` and `subscription_ended`.
        """
        row = await lock_subscription(work, self.command.subscription_id)
        details: JsonValue = {"subscription_id": self.command.subscription_id}
        state = state_from_row(row)
        if state.is_final:
            raise Rejected("subscription_ended", "The subscription has ended.", details)
        if state.scheduled_change is None:
            raise Rejected("nothing_scheduled", "No change waits for the end of the period.", details)
        return MutationIntent(stripe_subscription_id=row.stripe_subscription_id, revision=row.stripe_revision)

    async def call(self, intent: MutationIntent, stripe_id: str) -> StripeSubscription:
        """Release the schedule in Stripe."""
        present = await get_subscription(self.stripe, stripe_id)
        return await release_schedule(self.stripe, present, self.steps.key("release"))

    async def record(
        self, intent: MutationIntent, work: UnitOfWork, revision: int, answer: StripeSubscription
    ) -> m.SubscriptionFound:
        """Write the subscription as Stripe has it now."""
        row = await lock_subscription(work, self.command.subscription_id)
        await apply_stripe_answer(work, row, revision, answer)
        return m.SubscriptionFound(subscription=subscription_snapshot(row))

    async def change_self_managed(self, intent: MutationIntent, work: UnitOfWork) -> m.SubscriptionFound:
        """Drop the scheduled change of a self-managed subscription."""
        row = await lock_subscription(work, self.command.subscription_id)
        await change_subscription(work, row, replace(state_from_row(row), scheduled_change=None))
        return m.SubscriptionFound(subscription=subscription_snapshot(row))
