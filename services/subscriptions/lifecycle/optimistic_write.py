"""Writing what Stripe answered to a command, unless its events have told something newer meanwhile."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from pydantic import BaseModel

from services.subscriptions.catalog.repository import load_catalog
from services.subscriptions.domain.stripe_mapping import state_of
from services.subscriptions.domain.stripe_objects import StripeSubscription
from services.subscriptions.domain.subscription_state import FINAL, State
from services.subscriptions.repository import find_subscription, lock_customer
from services.subscriptions.snapshots import state_of_row
from services.subscriptions.state_changes import change_subscription
from services.subscriptions.stripe.client import StripeGateway
from services.subscriptions.tables.subscriptions import SubscriptionRow
from shared.errors import Rejected, Unavailable
from shared.messaging.external_command import Steps
from shared.persistence.unit_of_work import UnitOfWork

Result = TypeVar("Result", bound=BaseModel)

RECORD_TRIES = 5
"""How often Stripe is asked again because its events changed the subscription meanwhile."""


class Outdated(Exception):
    """Stripe's answer is older than what its events have told meanwhile."""

    def __init__(self, revision: int) -> None:
        super().__init__(revision)
        self.revision = revision


async def take_over(
    work: UnitOfWork,
    row: SubscriptionRow,
    revision: int,
    answer: StripeSubscription,
    adjust: Callable[[State], State] = lambda state: state,
) -> None:
    """Bring the row, whose customer is locked, to what Stripe answered; `adjust` adds what we alone know.

    Raises Outdated when Stripe's events have changed it since `revision`.
    """
    if row.status in FINAL:
        return
    state = adjust(state_of(answer, await load_catalog(work), state_of_row(row)))
    if row.stripe_revision != revision and not state.is_final:
        raise Outdated(row.stripe_revision)
    row.stripe_is_ahead = True
    row.stripe_revision += 1
    await change_subscription(work, row, state)


async def record_until_current(
    steps: Steps,
    stripe: StripeGateway,
    revision: int,
    answer: StripeSubscription,
    save: Callable[[UnitOfWork, int, StripeSubscription], Awaitable[Result]],
) -> Result:
    """Record Stripe's answer, or, if its events were faster, what Stripe says after those.

    `save` gets the revision that the answer belongs to, and raises Outdated, as `take_over` does.
    """
    for _ in range(RECORD_TRIES):
        try:
            return await steps.record(partial(_save, save, revision, answer))
        except Outdated as outdated:
            revision = outdated.revision
            answer = await stripe.find_subscription(answer.stripe_subscription_id) or answer
    raise Unavailable("The subscription is changing in Stripe at this moment.")


async def locked(work: UnitOfWork, subscription_id: str) -> SubscriptionRow:
    """A subscription's row under its customer's lock; raises Rejected `not_found`."""
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


async def _save(
    save: Callable[[UnitOfWork, int, StripeSubscription], Awaitable[Result]],
    revision: int,
    answer: StripeSubscription,
    work: UnitOfWork,
) -> Result:
    return await save(work, revision, answer)
