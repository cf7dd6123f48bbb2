"""The steps of changing a plan or quantity, and of taking a scheduled change back.

Stripe changes first and we write what it says then; what fails there, a payment above all, has changed
nothing. Subscriptions without a Stripe object are changed by us alone.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Literal

from pydantic import BaseModel, JsonValue

from services.subscriptions.domain.catalog.catalog_view import CatalogView
from services.subscriptions.domain.orders import subscribed_to
from services.subscriptions.domain.plan_changes import CHANGEABLE, ChangeRequest, PlanChange, decide
from services.subscriptions.domain.self_managed_changes import changed_now, scheduled
from services.subscriptions.domain.stripe_objects import StripeSubscription
from services.subscriptions.domain.subscription_state import State
from services.subscriptions.lifecycle.seat_quota import SeatQuota, release_quota
from services.subscriptions.lifecycle.stripe_mutation import (
    MutationIntent,
    StripeMutation,
    locked,
    take_over,
)
from services.subscriptions.rejections import as_rejection
from services.subscriptions.repository.catalog import load_catalog
from services.subscriptions.repository.subscriptions import live_subscriptions
from services.subscriptions.service import service
from services.subscriptions.snapshots import state_of_row, subscription_snapshot
from services.subscriptions.state_changes import change_subscription
from services.subscriptions.stripe.client import StripeGateway
from services.subscriptions.stripe.subscription_updates import (
    ItemChange,
    change_now,
    find,
    release_schedule,
    schedule_change,
)
from services.subscriptions.tables.subscriptions import SubscriptionRow
from shared.errors import Rejected, Unavailable
from shared.messaging.external_command import ExternalCommandSteps
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m

ChangeCommand = m.ChangePlan | m.ChangeQuantity | m.ChangeHeldQuantity


class ChangeIntent(MutationIntent):
    """The change as it was planned."""

    how: Literal["nothing", "unschedule", "now", "period_end"]
    product: str
    price: str
    quantity: int
    in_stripe: ItemChange | None
    seats_left: int | None = None
    """How many seats there will be, where that is fewer than now: `seats` is asked whether they suffice."""


@service.external_command(m.ChangePlan)
async def change_plan(
    steps: ExternalCommandSteps, command: m.ChangePlan, stripe: StripeGateway, quota: SeatQuota
) -> m.SubscriptionChanged:
    """Change the price of a subscription."""
    return await ChangeOfPlan(steps, stripe, command, quota).run()


@service.external_command(m.ChangeQuantity)
async def change_quantity(
    steps: ExternalCommandSteps, command: m.ChangeQuantity, stripe: StripeGateway, quota: SeatQuota
) -> m.SubscriptionChanged:
    """Change the quantity of a subscription."""
    return await ChangeOfPlan(steps, stripe, command, quota).run()


@service.external_command(m.ChangeHeldQuantity)
async def change_held_quantity(
    steps: ExternalCommandSteps, command: m.ChangeHeldQuantity, stripe: StripeGateway, quota: SeatQuota
) -> m.SubscriptionChanged:
    """Change the quantity to a number of seats that `seats` holds already."""
    return await ChangeOfPlan(steps, stripe, command, quota).run()


@dataclass(frozen=True, slots=True)
class ChangeOfPlan(StripeMutation[ChangeIntent, m.SubscriptionChanged]):
    """A subscription whose price or quantity changes."""

    command: ChangeCommand
    quota: SeatQuota

    intent_model: ClassVar[type[BaseModel]] = ChangeIntent

    async def carry_out(self, intent: ChangeIntent) -> m.SubscriptionChanged:
        """Hold the seats that will be left, if they get fewer, and make the change."""
        if intent.seats_left is None:
            return await StripeMutation.carry_out(self, intent)
        await self.quota.hold(
            self.command.command_id,
            subscription_id=self.command.subscription_id,
            quantity=intent.seats_left,
            when=self.command.when,
        )
        try:
            return await StripeMutation.carry_out(self, intent)
        except Rejected:
            await self._release_quota()
            raise

    async def plan(self, work: UnitOfWork) -> ChangeIntent:
        """Decide on the change.

        Raises Rejected with the codes of `decide`, `not_found` and `already_subscribed`.
        """
        row = await locked(work, self.command.subscription_id)
        is_held = self.quota.is_asked or self._is_held()
        change = await plan_change(work, row, change_request_of(self.command), is_held=is_held)
        in_stripe = item_change(change) if row.stripe_subscription_id is not None else None
        return ChangeIntent(
            how=change.how,
            stripe_subscription_id=None if change.how == "nothing" else row.stripe_subscription_id,
            revision=row.stripe_revision,
            product=change.product.code,
            price=change.price.code,
            quantity=change.quantity,
            in_stripe=in_stripe,
            seats_left=self._seats_left(change),
        )

    async def call(self, intent: ChangeIntent, stripe_id: str) -> StripeSubscription:
        """Change the subscription in Stripe.

        Raises Rejected `payment_failed` and `subscription_not_active`.
        """
        try:
            return await self._call(intent, stripe_id)
        except Rejected as rejection:
            raise await self._explained(rejection, stripe_id) from rejection

    async def record(
        self, intent: ChangeIntent, work: UnitOfWork, revision: int, answer: StripeSubscription
    ) -> m.SubscriptionChanged:
        """Write the subscription as Stripe has it now."""
        row = await locked(work, self.command.subscription_id)
        await take_over(work, row, revision, answer, partial(_with_wait, intent, answer))
        return self._done(work, row, intent)

    async def change_own(self, intent: ChangeIntent, work: UnitOfWork) -> m.SubscriptionChanged:
        """Change a subscription of our own."""
        row = await locked(work, self.command.subscription_id)
        is_held = intent.seats_left is not None or self._is_held()
        change = await plan_change(work, row, change_request_of(self.command), is_held=is_held)
        if change.how != "nothing" and row.stripe_subscription_id is not None:
            raise Unavailable("The subscription has just changed.")
        await _carry_out_own(work, row, change)
        return self._done(work, row, intent)

    def _done(self, work: UnitOfWork, row: SubscriptionRow, intent: ChangeIntent) -> m.SubscriptionChanged:
        if intent.seats_left is not None:
            about = row.subscription_id
            release_quota(work, self.command.command_id, subscription_id=about, version=row.version)
        snapshot = subscription_snapshot(row)
        return m.SubscriptionChanged(subscription=snapshot, scheduled_change=snapshot.scheduled_change)

    def _is_held(self) -> bool:
        """Whether seats has decided already."""
        return isinstance(self.command, m.ChangeHeldQuantity)

    def _seats_left(self, change: PlanChange) -> int | None:
        if self._is_held() or not self.quota.is_asked:
            return None
        if change.item.seats is None or change.how not in ("now", "period_end"):
            return None
        left = change.quantity if change.product.seats is not None else 0
        return left if left < change.item.quantity else None

    async def _release_quota(self) -> None:
        """Before the refusal is stored, so that a crash in between repeats it."""
        about = self.command.subscription_id
        async with self.steps.transactions.begin(
            caused_by=self.command.command_id, now=self.steps.received_at
        ) as work:
            release_quota(work, self.command.command_id, subscription_id=about, version=0)

    async def _call(self, intent: ChangeIntent, stripe_id: str) -> StripeSubscription:
        present, key = await find(self.stripe, stripe_id), self.steps.key
        if intent.how == "unschedule" or intent.in_stripe is None:
            return await release_schedule(self.stripe, present, key("release"))
        if intent.how == "now":
            answer = await change_now(
                self.stripe, present, intent.in_stripe, self.command.proration, key("change")
            )
            # Only now: had the payment failed, what was scheduled would still be.
            return await release_schedule(self.stripe, answer, key("release"))
        keys = (key("schedule"), key("phases"))
        await schedule_change(self.stripe, present, intent.in_stripe, keys)
        return await find(self.stripe, stripe_id)

    async def _explained(self, rejection: Rejected, stripe_id: str) -> Rejected:
        """Stripe's refusal, or what it comes from: its events about the subscription are still to come."""
        if rejection.error.code == "payment_failed":
            return rejection
        present = await find(self.stripe, stripe_id)
        if present.status in CHANGEABLE:
            return rejection
        return Rejected(
            "subscription_not_active",
            f"The subscription is {present.status} in Stripe.",
            {"status": present.status},
        )


async def plan_change(
    work: UnitOfWork, row: SubscriptionRow, request: ChangeRequest, *, is_held: bool = False
) -> PlanChange:
    """What a wish comes to for a subscription as it stands.

    With `is_held` it is for `seats` to say whether fewer seats suffice. Raises Rejected with the codes of
    `decide`, and `already_subscribed` where another subscription of the customer's is for the wanted plan.
    """
    catalog, state = await load_catalog(work), state_of_row(row)
    occupied = 0 if is_held else row.seats_occupied
    change = as_rejection(lambda: decide(catalog, state, request, seats_occupied=occupied))
    if change.product.code not in state.products:
        await _refuse_held(work, row, change.product.code)
    return change


def change_request_of(asked: ChangeCommand | m.PreviewChange) -> ChangeRequest:
    """What a command or preview asks for."""
    price = asked.price if isinstance(asked, m.ChangePlan | m.PreviewChange) else None
    return ChangeRequest(price=price, quantity=asked.quantity, when=asked.when)


def item_change(change: PlanChange) -> ItemChange:
    """A change in Stripe's terms; raises Rejected `payments_not_configured` for prices it does not have."""
    before, after = change.item.stripe_price_id, change.price.stripe_price_id
    if before is None or after is None:
        raise Rejected(
            "payments_not_configured",
            f"{change.price.code!r} is not in Stripe yet. Apply the catalog again.",
            {"price": change.price.code},
        )
    return ItemChange(before=before, after=after, quantity=change.quantity, interval=change.price.interval)


async def _refuse_held(work: UnitOfWork, row: SubscriptionRow, plan: str) -> None:
    others = [other for other in await live_subscriptions(work.session, row.customer) if other is not row]
    held = subscribed_to([plan], ((other.subscription_id, state_of_row(other)) for other in others))
    if held is not None:
        raise Rejected(
            "already_subscribed",
            "Another subscription of this customer is for that plan.",
            {"subscription_id": held},
        )


def _with_wait(intent: ChangeIntent, answer: StripeSubscription, state: State) -> State:
    """Stripe's state, with what waits there in our words."""
    end = answer.current_period_end
    if intent.how != "period_end" or end is None or answer.schedule_id is None:
        return replace(state, scheduled_change=None)
    if _is_taken(intent, answer):
        return state
    waiting = m.ScheduledChange(product=intent.product, price=intent.price, quantity=intent.quantity, at=end)
    return replace(state, scheduled_change=waiting)


def _is_taken(intent: ChangeIntent, answer: StripeSubscription) -> bool:
    """Whether Stripe has carried out what was scheduled before we could write that it waits."""
    wanted = intent.in_stripe
    return wanted is not None and any(
        (item.stripe_price_id, item.quantity) == (wanted.after, wanted.quantity) for item in answer.items
    )


async def _carry_out_own(work: UnitOfWork, row: SubscriptionRow, change: PlanChange) -> None:
    state = state_of_row(row)
    if change.how == "unschedule":
        await change_subscription(work, row, replace(state, scheduled_change=None))
    elif change.how == "period_end":
        await change_subscription(work, row, scheduled(state, change))
    elif change.how == "now":
        catalog: CatalogView = await load_catalog(work)
        if change.is_restart:
            row.period_interval = change.price.interval
            row.period_anchor = state.trial_end if state.status == "trialing" else work.now
        await change_subscription(work, row, changed_now(state, catalog, change, work.now))


@service.external_command(m.CancelScheduledChange)
async def cancel_scheduled_change(
    steps: ExternalCommandSteps, command: m.CancelScheduledChange, stripe: StripeGateway
) -> m.SubscriptionFound:
    """Take back the change that waits for the end of the period."""
    return await ScheduledChangeCancellation(steps, stripe, command).run()


@dataclass(frozen=True, slots=True)
class ScheduledChangeCancellation(StripeMutation[MutationIntent, m.SubscriptionFound]):
    """A subscription whose scheduled change is taken back."""

    command: m.CancelScheduledChange

    async def plan(self, work: UnitOfWork) -> MutationIntent:
        """Raise Rejected `not_found`, `nothing_scheduled` and `subscription_ended`."""
        row = await locked(work, self.command.subscription_id)
        details: JsonValue = {"subscription_id": self.command.subscription_id}
        state = state_of_row(row)
        if state.is_final:
            raise Rejected("subscription_ended", "The subscription has ended.", details)
        if state.scheduled_change is None:
            raise Rejected("nothing_scheduled", "No change waits for the end of the period.", details)
        return MutationIntent(stripe_subscription_id=row.stripe_subscription_id, revision=row.stripe_revision)

    async def call(self, intent: MutationIntent, stripe_id: str) -> StripeSubscription:
        """Release the schedule in Stripe."""
        present = await find(self.stripe, stripe_id)
        return await release_schedule(self.stripe, present, self.steps.key("release"))

    async def record(
        self, intent: MutationIntent, work: UnitOfWork, revision: int, answer: StripeSubscription
    ) -> m.SubscriptionFound:
        """Write the subscription as Stripe has it now."""
        row = await locked(work, self.command.subscription_id)
        await take_over(work, row, revision, answer)
        return m.SubscriptionFound(subscription=subscription_snapshot(row))

    async def change_own(self, intent: MutationIntent, work: UnitOfWork) -> m.SubscriptionFound:
        """Drop the change of a subscription of our own."""
        row = await locked(work, self.command.subscription_id)
        await change_subscription(work, row, replace(state_of_row(row), scheduled_change=None))
        return m.SubscriptionFound(subscription=subscription_snapshot(row))
