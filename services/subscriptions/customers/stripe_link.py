"""Linking a customer to a Stripe customer, and adopting subscriptions that exist in Stripe."""

from services.subscriptions.domain.catalog_lookup import CatalogLookup
from services.subscriptions.domain.stripe_mapping import state_from_stripe
from services.subscriptions.domain.stripe_objects import StripeSubscription
from services.subscriptions.repository.add_ons import find_add_on
from services.subscriptions.repository.subscriptions import (
    customer_token_by_stripe_id,
    find_checkout,
    forget_parked_events,
    parked_events,
    reserve_stripe_customer,
    subscription_by_stripe_id,
)
from services.subscriptions.state_changes import change_subscription
from services.subscriptions.tables.payment_links import FurtherStripeCustomerRow
from services.subscriptions.tables.subscriptions import CustomerRow, SubscriptionRow
from shared.errors import Rejected
from shared.ids import new_id
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages.webhooks import REPLAY_MAX_EVENTS, Replay


async def link_stripe_customer(work: UnitOfWork, row: CustomerRow, stripe_customer_id: str) -> None:
    """Link a Stripe customer, and have its parked events replayed.

    Raises Rejected `stripe_customer_taken` if either is linked to another already.
    """
    await reserve_stripe_customer(work.session, stripe_customer_id)
    owner = await customer_token_by_stripe_id(work.session, stripe_customer_id)
    require_not_taken(row.customer, row.stripe_customer_id, owner, stripe_customer_id)
    row.stripe_customer_id = stripe_customer_id
    await _replay_parked_events(work, stripe_customer_id)


async def link_further_stripe_customer(work: UnitOfWork, row: CustomerRow, stripe_customer_id: str) -> None:
    """Link another Stripe customer of a customer who has one, and have its parked events replayed.

    Raises Rejected `stripe_customer_taken` if it is linked to somebody else.
    """
    await reserve_stripe_customer(work.session, stripe_customer_id)
    owner = await customer_token_by_stripe_id(work.session, stripe_customer_id)
    require_not_taken(row.customer, None, owner, stripe_customer_id)
    if owner is None:
        further = FurtherStripeCustomerRow(stripe_customer_id=stripe_customer_id, customer=row.customer)
        work.session.add(further)
        await work.session.flush()
    await _replay_parked_events(work, stripe_customer_id)


async def _replay_parked_events(work: UnitOfWork, stripe_customer_id: str) -> None:
    waiting = await parked_events(work.session, stripe_customer_id)
    await forget_parked_events(work.session, stripe_customer_id)
    for start in range(0, len(waiting), REPLAY_MAX_EVENTS):
        some = list(waiting[start : start + REPLAY_MAX_EVENTS])
        work.send(Replay(command_id=new_id("cmd"), requested_by="subscriptions", event_ids=some))


def require_not_taken(token: str, linked_to: str | None, owner: str | None, stripe_customer_id: str) -> None:
    """Raise Rejected `stripe_customer_taken` unless the two are or can be linked."""
    if owner not in (None, token):
        raise Rejected(
            "stripe_customer_taken",
            f"{stripe_customer_id} belongs to another customer.",
            {"stripe_customer_id": stripe_customer_id},
        )
    if linked_to not in (None, stripe_customer_id):
        raise Rejected(
            "stripe_customer_taken",
            f"The customer has another Stripe customer already, {linked_to}.",
            {"stripe_customer_id": linked_to},
        )


async def adopt_subscription(
    work: UnitOfWork, customer: CustomerRow, subscription: StripeSubscription, catalog: CatalogLookup
) -> None:
    """Add Stripe's subscription; a known one is left to its events."""
    if await subscription_by_stripe_id(work.session, subscription.stripe_subscription_id) is None:
        row = await new_stripe_subscription(work, customer, subscription)
        row.stripe_is_ahead = True
        row.stripe_revision = 1
        await change_subscription(work, row, state_from_stripe(subscription, catalog), is_new=True)


async def new_stripe_subscription(
    work: UnitOfWork, customer: CustomerRow, subscription: StripeSubscription
) -> SubscriptionRow:
    """Build the row of a Stripe subscription, and link its checkout or add-on."""
    checkout = await find_checkout(work.session, checkout_id=subscription.checkout_id or "")
    if checkout is not None and checkout.customer == customer.customer:
        checkout.status = "completed"
    row = new_subscription(work, customer, stripe_subscription_id=subscription.stripe_subscription_id)
    add_on = await find_add_on(work.session, subscription.add_on_id) if subscription.add_on_id else None
    if add_on is not None and add_on.customer == customer.customer and add_on.subscription_id is None:
        add_on.subscription_id = row.subscription_id
    return row


def new_subscription(
    work: UnitOfWork, customer: CustomerRow, *, stripe_subscription_id: str | None = None
) -> SubscriptionRow:
    """Build a row without a state."""
    return SubscriptionRow(
        subscription_id=new_id("sub"),
        customer=customer.customer,
        version=0,
        stripe_subscription_id=stripe_subscription_id,
        stripe_event_rank=0,
        stripe_is_ahead=False,
        stripe_revision=0,
        created_at=work.now,
    )
