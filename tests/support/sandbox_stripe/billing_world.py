"""A running stand-in with a customer on a test clock, driven through Stripe's own SDK."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from tests.support.sandbox_stripe.stand_in import StandIn

START = "2026-01-01"


def at(text: str) -> int:
    """Unix seconds of a date or time in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@contextmanager
def running() -> Iterator[StandIn]:
    """A stand-in for the tests of one module; each test has its own customer and clock there."""
    stand_in = StandIn()
    try:
        yield stand_in
    finally:
        stand_in.stop()


class World:
    """One customer on one clock; money in euro cents; times as ISO text."""

    def __init__(self, stand_in: StandIn, start: str = START, card: str | None = "pm_card_visa") -> None:
        self.url = stand_in.url
        self.v1: Any = stand_in.api
        self.clock = self.v1.test_helpers.test_clocks.create({"frozen_time": at(start)}).id
        self.customer = self.v1.customers.create(
            {"email": "ada@example.com", "name": "Ada", "test_clock": self.clock}
        ).id
        self.product = self.v1.products.create({"name": "Team"}).id
        if card is not None:
            self.use_card(card)

    def use_card(self, token: str) -> str:
        """Make a test card the customer's default."""
        method: str = self.v1.payment_methods.attach(token, {"customer": self.customer}).id
        self.v1.customers.update(self.customer, {"invoice_settings": {"default_payment_method": method}})
        return method

    def price(self, amount: int | None = 1000, interval: str = "month", count: int = 1, **more: Any) -> str:
        """A recurring price of the product."""
        recurring = {"interval": interval, "interval_count": count, **more.pop("recurring", {})}
        money = {} if amount is None else {"unit_amount": amount}
        params = {"product": self.product, "currency": "eur", "recurring": recurring, **money, **more}
        price: str = self.v1.prices.create(params).id
        return price

    def tiered(self, mode: str, *tiers: tuple[int | str, int]) -> str:
        """A price in tiers of (up to, unit amount)."""
        listed = [{"up_to": up_to, "unit_amount": amount} for up_to, amount in tiers]
        return self.price(None, billing_scheme="tiered", tiers_mode=mode, tiers=listed)

    def subscribe(self, *items: tuple[str, int], **more: Any) -> Any:
        """A subscription to (price, quantity)."""
        listed = [{"price": price, "quantity": quantity} for price, quantity in items]
        return self.v1.subscriptions.create({"customer": self.customer, "items": listed, **more})

    def subscription(self, subscription: Any) -> Any:
        """The subscription as it is now."""
        return self.v1.subscriptions.retrieve(subscription.id)

    def change(self, subscription: Any, quantity: int, price: str | None = None, **more: Any) -> Any:
        """Change the quantity, or the price, of the only item."""
        item = {"id": subscription["items"].data[0].id, "quantity": quantity}
        if price is not None:
            item["price"] = price
        return self.v1.subscriptions.update(subscription.id, {"items": [item], **more})

    def advance(self, text: str) -> None:
        """Move the clock."""
        moved = self.v1.test_helpers.test_clocks.advance(self.clock, {"frozen_time": at(text)})
        assert moved.status == "advancing"
        assert self.v1.test_helpers.test_clocks.retrieve(self.clock).status == "ready"

    def invoices(self) -> list[Any]:
        """The customer's invoices, oldest first."""
        return list(self.v1.invoices.list({"customer": self.customer, "limit": 100}).data)[::-1]

    def totals(self) -> list[tuple[str, int]]:
        """Status and total of each invoice, oldest first."""
        return [(invoice.status, invoice.total) for invoice in self.invoices()]

    def amounts(self, invoice: Any) -> list[int]:
        """The amounts of an invoice's lines."""
        return [line.amount for line in invoice.lines.data]

    def events(self, prefix: str = "") -> list[Any]:
        """This customer's events of types with a prefix, oldest first."""
        listed = self.v1.events.list({"limit": 100, "type": f"{prefix}*"}).auto_paging_iter()
        found = [event for event in listed if getattr(event.data.object, "customer", None) == self.customer]
        return found[::-1]

    def told(self, prefix: str = "") -> list[str]:
        """The types of those events."""
        return [event.type for event in self.events(prefix)]
