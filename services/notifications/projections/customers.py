"""Customers' names and addresses."""

import sqlalchemy as sa

from services.notifications.domain.email_address import address_key
from services.notifications.service import service
from services.notifications.tables import BouncedAddressRow, KnownCustomerRow
from shared.messaging.feed_consumer import keep_newest
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as s


@service.event(s.CustomerEvent, name="follow_customer")
async def follow_customer(work: UnitOfWork, event: s.CustomerEvent) -> None:
    """Keep a customer's name and address; an address that is set anew has not bounced."""
    customer = event.customer
    token = f"{customer.type}_{customer.id}"
    before = await work.session.get(KnownCustomerRow, token)
    known = before.email if before else None
    if before is not None:
        work.session.expunge(before)
    written = await keep_newest(
        work,
        KnownCustomerRow,
        customer=token,
        version=event.version,
        email=customer.email,
        name=customer.name,
    )
    if written and known is not None and address_key(known) != address_key(customer.email):
        await forget_bounce(work, customer.email)


async def forget_bounce(work: UnitOfWork, address: str) -> None:
    """Allow mails to an address again that was refused for good before."""
    await work.session.execute(
        sa.delete(BouncedAddressRow).where(BouncedAddressRow.email == address_key(address))
    )
