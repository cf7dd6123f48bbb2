"""One Stripe event on its way into our tables."""

from dataclasses import dataclass

from services.subscriptions.domain.catalog.catalog_view import CatalogView
from services.subscriptions.domain.stripe_objects import StripeEvent
from services.subscriptions.dunning.grace import Dunning
from services.subscriptions.repository.catalog import load_catalog
from services.subscriptions.repository.subscriptions import lock_customer, lock_customer_by_stripe_id
from services.subscriptions.stripe_webhooks.fetched_objects import FetchedObjects
from services.subscriptions.tables.subscriptions import CustomerRow, InvoiceRow, SubscriptionRow
from shared.persistence.unit_of_work import UnitOfWork


class UnknownCustomer(Exception):
    """The event is about a customer who is not known yet."""

    def __init__(self, stripe_customer_id: str) -> None:
        super().__init__(stripe_customer_id)
        self.stripe_customer_id = stripe_customer_id


class IrrelevantEvent(Exception):
    """The event is about something that was not made here and does not concern us."""


@dataclass(slots=True)
class EventContext:
    """An event, the transaction it is applied in, and what Stripe has answered so far."""

    work: UnitOfWork
    event: StripeEvent
    fetched: FetchedObjects
    dunning: Dunning
    _catalog: CatalogView | None = None

    async def catalog(self) -> CatalogView:
        """The catalog, read once."""
        if self._catalog is None:
            self._catalog = await load_catalog(self.work)
        return self._catalog

    async def customer(
        self, stripe_customer_id: str, known: SubscriptionRow | InvoiceRow | None = None
    ) -> CustomerRow:
        """The customer that the event is about, locked; raises Parked for one we do not know.

        What is `known` stays its customer's, also where Stripe has told first that it deleted its own.
        """
        session = self.work.session
        if known is not None:
            row = await lock_customer(session, known.customer)
        else:
            row = await lock_customer_by_stripe_id(session, stripe_customer_id)
        if row is None:
            raise UnknownCustomer(stripe_customer_id)
        return row
