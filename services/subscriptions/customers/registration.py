"""Registering a customer: plan the change in Stripe, make it, and write the customer."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from services.subscriptions.customers.stripe_link import (
    adopt_subscription,
    link_stripe_customer,
    require_not_taken,
)
from services.subscriptions.domain.stripe_objects import StripeSubscription
from services.subscriptions.repository.catalog import load_catalog
from services.subscriptions.repository.subscriptions import (
    customer_token_by_stripe_id,
    find_customer,
    insert_customer,
    lock_customer,
)
from services.subscriptions.service import service
from services.subscriptions.snapshots import customer_snapshot
from services.subscriptions.state_changes import emit_customer
from services.subscriptions.stripe.client import StripeGateway
from services.subscriptions.tables.subscriptions import CustomerRow
from shared.errors import Rejected
from shared.ids import new_id
from shared.messaging.external_command import ExternalCommandSteps
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m


class RegistrationIntent(BaseModel):
    """What to do in Stripe for a customer who registers."""

    model_config = ConfigDict(frozen=True)

    in_stripe: Literal["nothing", "create", "adopt", "update"]
    stripe_customer_id: str | None = None


class StripeCounterpart(BaseModel):
    """The customer's Stripe customer after that, and the subscriptions that came with it."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    stripe_customer_id: str | None
    name: str | None = None
    """The name of an adopted Stripe customer."""
    subscriptions: list[StripeSubscription] = []


NO_COUNTERPART = StripeCounterpart(stripe_customer_id=None)
"""The result without Stripe."""


@service.external_command(m.RegisterCustomer)
async def register_customer(
    steps: ExternalCommandSteps, command: m.RegisterCustomer, stripe: StripeGateway
) -> m.CustomerFound:
    """Plan the change in Stripe, make it, and write the customer."""
    new = new_customer(command, steps.received_at)
    if not stripe.configured and command.stripe_customer_id is None:
        return await steps.record(
            lambda work: record_registration(work, command, new, NO_COUNTERPART), insert_customer(new)
        )
    intent = await steps.intend(
        lambda work: plan_registration(work, command, payments=stripe.configured), RegistrationIntent
    )
    counterpart = await register_in_stripe(stripe, command, intent, steps.key("customer"))
    return await steps.record(
        lambda work: record_registration(work, command, new, counterpart), insert_customer(new)
    )


async def plan_registration(
    work: UnitOfWork, command: m.RegisterCustomer, *, payments: bool
) -> RegistrationIntent:
    """Decide what to do in Stripe.

    Raises Rejected `stripe_customer_taken`, and `payments_not_configured` for an adoption without Stripe.
    """
    row = await find_customer(work.session, command.customer.token)
    linked_to = row.stripe_customer_id if row else None
    if command.stripe_customer_id is not None:
        owner = await customer_token_by_stripe_id(work.session, command.stripe_customer_id)
        require_not_taken(command.customer.token, linked_to, owner, command.stripe_customer_id)
        if not payments:
            raise Rejected("payments_not_configured", "Without a key no Stripe customer can be adopted.")
        return RegistrationIntent(in_stripe="adopt", stripe_customer_id=command.stripe_customer_id)
    if not payments:
        return RegistrationIntent(in_stripe="nothing", stripe_customer_id=linked_to)
    if row is None or linked_to is None:
        return RegistrationIntent(in_stripe="create")
    is_same = (row.email, row.name) == (command.email, command.full_name or row.name)
    return RegistrationIntent(in_stripe="nothing" if is_same else "update", stripe_customer_id=linked_to)


async def register_in_stripe(
    stripe: StripeGateway, command: m.RegisterCustomer, intent: RegistrationIntent, key: str
) -> StripeCounterpart:
    """Create, find or update the Stripe customer; raises Rejected `not_found`."""
    if intent.stripe_customer_id is None:
        if intent.in_stripe == "nothing":
            return NO_COUNTERPART
        made = await stripe.create_customer(
            command.customer.token, email=command.email, name=command.full_name, key=key
        )
        return StripeCounterpart(stripe_customer_id=made.stripe_customer_id)
    if intent.in_stripe == "update":
        await stripe.update_customer(
            intent.stripe_customer_id, email=command.email, name=command.full_name, key=key
        )
    if intent.in_stripe != "adopt":
        return StripeCounterpart(stripe_customer_id=intent.stripe_customer_id)
    known = await stripe.find_customer(intent.stripe_customer_id)
    if known is None:
        raise Rejected(
            "not_found",
            f"Stripe has no customer {intent.stripe_customer_id}.",
            {"stripe_customer_id": intent.stripe_customer_id},
        )
    if (known.email, known.name) != (command.email, command.full_name or known.name):
        await stripe.update_customer(
            intent.stripe_customer_id, email=command.email, name=command.full_name, key=key
        )
    subscriptions = await stripe.list_subscriptions(intent.stripe_customer_id)
    return StripeCounterpart(
        stripe_customer_id=intent.stripe_customer_id, name=known.name, subscriptions=subscriptions
    )


async def record_registration(
    work: UnitOfWork,
    command: m.RegisterCustomer,
    snapshot: m.CustomerSnapshot,
    counterpart: StripeCounterpart,
) -> m.CustomerFound:
    """Write the customer, link the Stripe customer, and adopt its subscriptions.

    `snapshot` is the customer to insert if they are new.
    """
    (added,) = await work.run(insert_customer(snapshot))
    is_new = added.changed == 1
    if is_new and counterpart == NO_COUNTERPART:
        work.emit(m.CustomerEvent, "created", version=snapshot.version, customer=snapshot)
        return m.CustomerFound(customer=snapshot)
    row = await _lock(work, command)
    before = (row.email, row.name, row.notes, row.stripe_customer_id)
    row.email = command.email
    row.name = command.full_name or row.name or counterpart.name
    row.notes = dict(row.notes if command.metadata is None else command.metadata)
    found = counterpart.stripe_customer_id
    # Of two concurrent registrations, the first keeps the Stripe customer that it created.
    may_link = row.stripe_customer_id is None or command.stripe_customer_id is not None
    if found is not None and found != row.stripe_customer_id and may_link:
        await link_stripe_customer(work, row, found)
    if is_new:
        row.version = 0
        emit_customer(work, row, "created")
    elif before != (row.email, row.name, row.notes, row.stripe_customer_id):
        emit_customer(work, row, "updated")
    if counterpart.subscriptions:
        catalog = await load_catalog(work)
        for subscription in counterpart.subscriptions:
            await adopt_subscription(work, row, subscription, catalog)
    return m.CustomerFound(customer=customer_snapshot(row))


def new_customer(command: m.RegisterCustomer, created_at: datetime) -> m.CustomerSnapshot:
    """Build the snapshot of a new customer."""
    return m.CustomerSnapshot(
        type=command.customer.type,
        id=command.customer.id,
        customer_id=new_id("customer"),
        version=1,
        email=command.email,
        name=command.full_name,
        metadata=dict(command.metadata or {}),
        stripe_customer_id=None,
        created_at=created_at,
    )


async def _lock(work: UnitOfWork, command: m.RegisterCustomer) -> CustomerRow:
    row = await lock_customer(work.session, command.customer.token)
    if row is None:
        raise RuntimeError("customers are never deleted, but this one is gone")
    return row
