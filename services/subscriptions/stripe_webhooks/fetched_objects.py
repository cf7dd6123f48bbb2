"""Fetching objects from Stripe between transactions, so that no lock is held during a call.

Code that needs an object as Stripe has it now raises `NeedsStripeObject`, which rolls back the transaction;
the object is fetched, and the event is applied again with it.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from services.subscriptions.domain.invoice_taxes import TaxRates
from services.subscriptions.domain.stripe_objects import Json, StripeCustomer, StripeSubscription
from services.subscriptions.stripe.client import StripeGateway
from services.subscriptions.stripe.refunds import find_invoice_of_payment, list_refunds

Kind = Literal["subscription", "invoice", "lines", "customer", "tax_rates", "invoice_of_payment", "refunds"]
NO_REVISION = 0
"""The revision for objects that are not compared with a row."""


class NeedsStripeObject(Exception):
    """An object must be fetched first; `revision` is that of the row it is compared with."""

    def __init__(self, kind: Kind, stripe_id: str, revision: int) -> None:
        super().__init__(f"{kind} {stripe_id}")
        self.kind, self.stripe_id, self.revision = kind, stripe_id, revision


@dataclass(slots=True)
class FetchedObjects:
    """The objects fetched from Stripe while one event is applied."""

    stripe: StripeGateway
    _objects: dict[tuple[str, str], tuple[int, Any]] = field(default_factory=dict)

    async def fetch(self, needed: NeedsStripeObject) -> None:
        """Fetch an object. Without a key it is None, as if Stripe did not have it."""
        answer: Any = None
        if self.stripe.configured:
            find: Any = {
                "subscription": self.stripe.find_subscription,
                "invoice": self.stripe.find_invoice,
                "lines": self.stripe.list_invoice_lines,
                "customer": self.stripe.find_customer,
                "tax_rates": lambda ids: self.stripe.tax_rates.find(ids.split()),
                "invoice_of_payment": partial(find_invoice_of_payment, self.stripe),
                "refunds": partial(list_refunds, self.stripe),
            }[needed.kind]
            answer = await find(needed.stripe_id)
        self._objects[needed.kind, needed.stripe_id] = (needed.revision, answer)

    def subscription(self, stripe_id: str, revision: int) -> StripeSubscription | None:
        """Return a subscription, fetched when our row had this revision."""
        answer: StripeSubscription | None = self._fetched("subscription", stripe_id, revision)
        return answer

    def invoice(self, stripe_id: str, revision: int) -> Json | None:
        """Return an invoice, fetched when our row had this revision."""
        answer: Json | None = self._fetched("invoice", stripe_id, revision)
        return answer

    def lines(self, stripe_invoice_id: str) -> list[Json] | None:
        """Return the lines of an invoice."""
        answer: list[Json] | None = self._fetched("lines", stripe_invoice_id, NO_REVISION)
        return answer

    def tax_rates(self, ids: set[str]) -> TaxRates:
        """Return tax rates, of which all are fetched together."""
        known = self.stripe.tax_rates.known(ids)
        if known is not None:
            return known
        answer: TaxRates | None = self._fetched("tax_rates", " ".join(sorted(ids)), NO_REVISION)
        return answer or {}

    def customer(self, stripe_id: str, revision: int) -> StripeCustomer | None:
        """Return a customer, fetched when our row had this revision."""
        answer: StripeCustomer | None = self._fetched("customer", stripe_id, revision)
        return answer

    def invoice_of_payment(self, payment_intent: str) -> Json | None:
        """Return the invoice that a payment paid, if there is one."""
        answer: Json | None = self._fetched("invoice_of_payment", payment_intent, NO_REVISION)
        return answer

    def refunds(self, payment_intent: str) -> list[Json]:
        """Return the refunds of a payment."""
        answer: list[Json] | None = self._fetched("refunds", payment_intent, NO_REVISION)
        return answer or []

    def _fetched(self, kind: Kind, stripe_id: str, revision: int) -> Any:
        found = self._objects.get((kind, stripe_id))
        if found is None or found[0] != revision:
            raise NeedsStripeObject(kind, stripe_id, revision)
        return found[1]
