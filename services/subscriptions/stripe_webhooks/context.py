"""The context in which one Stripe event is applied."""

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
    """The event is about a Stripe customer that is not linked to one of ours, so it is parked."""

    def __init__(self, stripe_customer_id: str) -> None:
        super().__init__(stripe_customer_id)
        self.stripe_customer_id = stripe_customer_id


class IrrelevantEvent(Exception):
    """The event is about an object that was not created here, so it is ignored."""


@dataclass(slots=True)
class EventContext:
    """An event, the transaction in which it is applied, and the objects fetched from Stripe so far."""

    work: UnitOfWork
    event: StripeEvent
    fetched: FetchedObjects
    dunning: Dunning
    _catalog: CatalogView | None = None

    async def catalog(self) -> CatalogView:
        """Return the catalog, loaded once."""
        if self._catalog is None:
            self._catalog = await load_catalog(self.work)
        return self._catalog

    async def customer(
        self, stripe_customer_id: str, known: SubscriptionRow | InvoiceRow | None = None
    ) -> CustomerRow:
        """Load and lock the event's customer; raises UnknownCustomer if none is linked.

        A `known` subscription or invoice keeps its customer even if Stripe's customer was deleted and
        unlinked.
        """
        session = self.work.session
        if known is not None:
            row = await lock_customer(session, known.customer)
        else:
            row = await lock_customer_by_stripe_id(session, stripe_customer_id)
        if row is None:
            raise UnknownCustomer(stripe_customer_id)
        return row
