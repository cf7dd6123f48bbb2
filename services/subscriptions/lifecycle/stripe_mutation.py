"""Changing a subscription: plan the change, call Stripe, and record its answer until it is current."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from services.subscriptions.domain.stripe_mapping import state_from_stripe
from services.subscriptions.domain.stripe_objects import StripeSubscription
from services.subscriptions.domain.subscription_state import State
from services.subscriptions.repository.catalog import load_catalog
from services.subscriptions.repository.subscriptions import find_subscription, lock_customer
from services.subscriptions.snapshots import state_from_row
from services.subscriptions.state_changes import change_subscription
from services.subscriptions.stripe.client import StripeGateway
from services.subscriptions.tables.subscriptions import SubscriptionRow
from shared.errors import Rejected, Unavailable
from shared.messaging.external_command import ExternalCommandSteps
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages.subscriptions import FINAL_STATUSES

RECORD_TRIES = 5
"""How often the subscription is fetched again because Stripe's events changed it meanwhile."""


class MutationIntent(BaseModel):
    """The subscription to change, as of the planning."""

    model_config = ConfigDict(frozen=True)

    stripe_subscription_id: str | None
    """None: Stripe need not be called."""
    revision: int
    """The row's `stripe_revision` when the change was planned."""


Intent = TypeVar("Intent", bound=MutationIntent)
Result = TypeVar("Result", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class StripeMutation(ABC, Generic[Intent, Result]):
    """One command that changes a subscription, in Stripe first if it is billed there."""

    steps: ExternalCommandSteps
    stripe: StripeGateway

    intent_model: ClassVar[type[BaseModel]] = MutationIntent

    async def run(self) -> Result:
        """Plan the change, then execute it."""
        return await self.execute(await self.steps.intend(self.plan, self.model()))

    async def execute(self, intent: Intent) -> Result:
        """Call Stripe if needed, and record the changed subscription."""
        if intent.stripe_subscription_id is None:
            return await self.steps.record(partial(self.change_self_managed, intent))
        answer = await self.call(intent, intent.stripe_subscription_id)
        return await self._record_until_current(intent, answer)

    @classmethod
    def model(cls) -> type[Intent]:
        """Return the class of the intents."""
        return cls.intent_model  # type: ignore[return-value] # a class variable cannot be generic

    @abstractmethod
    async def plan(self, work: UnitOfWork) -> Intent:
        """Decide what to do; raises Rejected."""

    @abstractmethod
    async def call(self, intent: Intent, stripe_id: str) -> StripeSubscription:
        """Call Stripe; return the changed subscription."""

    @abstractmethod
    async def record(
        self, intent: Intent, work: UnitOfWork, revision: int, answer: StripeSubscription
    ) -> Result:
        """Write Stripe's answer.

        Raises Outdated if Stripe's events changed the subscription since `revision`.
        """

    @abstractmethod
    async def change_self_managed(self, intent: Intent, work: UnitOfWork) -> Result:
        """Change a subscription that is not billed by Stripe."""

    async def _record_until_current(self, intent: Intent, answer: StripeSubscription) -> Result:
        """Record Stripe's answer or, if events came in between, the subscription fetched anew."""
        revision = intent.revision
        for _ in range(RECORD_TRIES):
            try:
                return await self.steps.record(partial(self.record, intent, revision=revision, answer=answer))
            except Outdated as outdated:
                revision = outdated.revision
                answer = await self.stripe.find_subscription(answer.stripe_subscription_id) or answer
        raise Unavailable("The subscription is changing in Stripe at this moment.")


class Outdated(Exception):
    """Stripe's answer is older than an event that was applied meanwhile."""

    def __init__(self, revision: int) -> None:
        super().__init__(revision)
        self.revision = revision


async def apply_stripe_answer(
    work: UnitOfWork,
    row: SubscriptionRow,
    revision: int,
    answer: StripeSubscription,
    adjust: Callable[[State], State] = lambda state: state,
) -> None:
    """Write Stripe's answer to the row, whose customer is locked.

    `adjust` adds what Stripe does not know. Raises Outdated if Stripe's events have changed the row since
    `revision`.
    """
    if row.status in FINAL_STATUSES:
        return
    state = adjust(state_from_stripe(answer, await load_catalog(work), state_from_row(row)))
    if row.stripe_revision != revision and not state.is_final:
        raise Outdated(row.stripe_revision)
    row.stripe_is_ahead = True
    row.stripe_revision += 1
    await change_subscription(work, row, state)


async def lock_subscription(work: UnitOfWork, subscription_id: str) -> SubscriptionRow:
    """Load a subscription's row under its customer's lock; raises Rejected `not_found`."""
    row = await find_subscription(work.session, subscription_id)
    if row is not None:
        await lock_customer(work.session, row.customer)
        # Read again: another transaction may have changed it before the lock was acquired.
        row = await find_subscription(work.session, subscription_id)
    if row is None:
        raise not_found(subscription_id)
    return row


def not_found(subscription_id: str) -> Rejected:
    """Build the rejection of an unknown subscription id."""
    return Rejected(
        "not_found", f"There is no subscription {subscription_id}.", {"subscription_id": subscription_id}
    )
