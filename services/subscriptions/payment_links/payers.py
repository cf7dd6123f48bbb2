"""Who pays through a link: a customer of ours, whom the link or the payment names, or a new user."""

import sqlalchemy as sa

from services.subscriptions.customers.stripe_link import link_further_stripe_customer, link_stripe_customer
from services.subscriptions.domain.payment_links import LinkPayment, named_customer
from services.subscriptions.repository.subscriptions import (
    customer_token_by_stripe_id,
    insert_customer,
    lock_customer,
)
from services.subscriptions.state_changes import emit_customer
from services.subscriptions.tables.subscriptions import CustomerRow
from shared.ids import new_id
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer

UNKNOWN_EMAIL = "unknown@example.invalid"
"""The address of a payer whom Stripe did not ask for one."""


async def find_payer(work: UnitOfWork, payment: LinkPayment, of_link: str | None) -> CustomerRow:
    """Return the locked row of the customer who buys; one who is not known is registered.

    Named by the link, the payment or its metadata; else whoever has the Stripe customer or the address.
    """
    token = named_customer(payment, of_link) or await _known(work, payment)
    row = await lock_customer(work.session, token) if token is not None else None
    return row if row is not None else await _register(work, payment, token or new_id("user"))


async def link_payer(work: UnitOfWork, row: CustomerRow, stripe_customer_id: str) -> None:
    """Link the payment's Stripe customer, as the customer's own or as a further one."""
    owner = await customer_token_by_stripe_id(work.session, stripe_customer_id)
    if owner == row.customer:
        return
    if row.stripe_customer_id is None:
        await link_stripe_customer(work, row, stripe_customer_id)
        emit_customer(work, row, "updated")
    else:
        await link_further_stripe_customer(work, row, stripe_customer_id)


async def _known(work: UnitOfWork, payment: LinkPayment) -> str | None:
    owner = await customer_token_by_stripe_id(work.session, payment.stripe_customer_id)
    if owner is not None or payment.email is None:
        return owner
    address = payment.email.strip().lower()
    # Two first payments by one person wait for each other, so that the second finds the first.
    key = sa.func.hashtextextended(f"payer {address}", 0)
    await work.session.execute(sa.select(sa.func.pg_advisory_xact_lock(key)))
    query = (
        sa.select(CustomerRow.customer)
        .where(sa.func.lower(CustomerRow.email) == address)
        .order_by(CustomerRow.customer_id)
        .limit(1)
    )
    return await work.session.scalar(query)


async def _register(work: UnitOfWork, payment: LinkPayment, token: str) -> CustomerRow:
    customer = Customer.from_token(token)
    snapshot = m.CustomerSnapshot(
        type=customer.type,
        id=customer.id,
        customer_id=new_id("customer"),
        version=1,
        email=payment.email or UNKNOWN_EMAIL,
        name=payment.name,
        metadata={},
        stripe_customer_id=None,
        created_at=work.now,
    )
    await work.run(insert_customer(snapshot))
    row = await lock_customer(work.session, token)
    if row is None:
        raise RuntimeError(f"{token} was registered but is missing")
    row.version = 0
    emit_customer(work, row, "created")
    return row
