"""Made-up lives of customers over a year, as the events that the services would have told.

The same seed gives the same lives. Amounts are those of the catalog, without tax.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

Json = dict[str, Any]

MONTH = timedelta(days=30)
PLANS = (
    ("essential_monthly", 34),
    ("professional_monthly", 24),
    ("business_monthly", 8),
    ("team_monthly", 15),
    ("studio_monthly", 6),
    ("essential_yearly", 5),
    ("professional_yearly", 4),
    ("enterprise_custom", 1),
    ("starter_free", 3),
)
"""Prices of the example catalog, and how many of a hundred customers begin with them."""
UPGRADES = {
    "starter_free": "essential_monthly",
    "essential_monthly": "professional_monthly",
    "professional_monthly": "business_monthly",
}
DOWNGRADES = {new: old for old, new in UPGRADES.items() if old != "starter_free"}
CHURN, UPGRADE, DOWNGRADE, PAUSE, FAILED = 0.035, 0.03, 0.008, 0.01, 0.03
"""What may happen at each renewal, with its probability."""
TRIAL = timedelta(days=14)
CONVERTS, RECOVERS, RETURNS = 0.75, 0.8, 0.6


@dataclass(frozen=True)
class DemoEvent:
    """An event of the feed: when it happened, of what, its name, and the entity's snapshot."""

    at: datetime
    entity: str
    name: str
    customer: Json
    version: int
    snapshot: Json


@dataclass
class Catalog:
    """The applied catalog, by price code."""

    prices: dict[str, Json]
    products: dict[str, Json]
    kinds: dict[str, str]

    @classmethod
    def of(cls, catalog: Json) -> Catalog:
        """Index the catalog that `get_catalog` returns."""
        products = {product["code"]: product for product in catalog["products"]}
        prices = {price["code"]: price for product in products.values() for price in product["prices"]}
        return cls(prices, products, {feature["code"]: feature["kind"] for feature in catalog["features"]})

    def item(self, price: str, quantity: int) -> Json:
        """Return a subscription's item."""
        found = self.prices[price]
        product = self.products[found["product"]]
        return {
            "product": product["code"],
            "price": price,
            "quantity": quantity,
            "seats": product["seats"],
            "features": [{**each, "kind": self.kinds[each["feature"]]} for each in product["features"]],
            "interval": found["interval"],
            "interval_count": found["interval_count"],
        }

    def amount(self, price: str, quantity: int) -> int:
        """Return what a period costs; prices with tiers by their first one."""
        found = self.prices[price]
        unit = found["unit_amount"] if found["unit_amount"] is not None else None
        if unit is None:
            unit = found["tiers"][0]["unit_amount"] if found["tiers"] else 0
        return int(found["base_amount"] + unit * (quantity if found["model"] != "flat" else 1))


@dataclass
class Life:
    """One customer's subscription, telling what happens to it."""

    number: int
    catalog: Catalog
    dice: random.Random
    began: datetime
    ends: datetime
    price: str = ""
    quantity: int = 1
    status: str = "active"
    version: int = 0
    invoices: int = 0
    period: tuple[datetime, datetime] = field(init=False)

    def __post_init__(self) -> None:
        names, weights = zip(*PLANS, strict=True)
        self.price = self.dice.choices(names, weights)[0]
        product = self.catalog.products[self.catalog.prices[self.price]["product"]]
        self.quantity = self.dice.randint(3, 18) if product["seats"] else 1
        self.discounted = 3 if self.dice.random() < 0.1 else 0
        self.period = (self.began, self.began + self._length())

    @property
    def customer(self) -> Json:
        """The customer."""
        return {"type": "organization", "id": f"demo-{self.number:03d}"}

    def events(self) -> Iterator[DemoEvent]:
        """Yield everything that happened until the end of the year, in order."""
        at = self.began
        if self.catalog.prices[self.price]["trial_days"]:
            yield self._tell(at, "trialStarted", "trialing")
            at += TRIAL
            if at > self.ends:
                return
            if self.dice.random() > CONVERTS:
                yield self._tell(at, "expired", "expired")
                return
            self.period = (at, at + self._length())
        yield self._tell(at, "activated", "active")
        yield from self._paid(at)
        while (at := self.period[1]) <= self.ends:
            self.period = (at, at + self._length())
            yield from self._renewal(at)
            if self.status == "canceled":
                return

    def _renewal(self, at: datetime) -> Iterator[DemoEvent]:
        chance = self.dice.random()
        if chance < CHURN:
            yield self._tell(at, "canceled", "canceled")
            return
        if chance < CHURN + FAILED:
            yield from self._fails(at)
            return
        if chance < CHURN + FAILED + PAUSE:
            yield self._tell(at, "paused", "paused")
            if self.dice.random() < RETURNS and at + MONTH < self.ends:
                self.period = (at + MONTH, at + MONTH + self._length())
                yield self._tell(at + MONTH, "resumed", "active")
            return
        if self.status != "active":
            return
        yield self._tell(at, "renewed", "active")
        yield from self._paid(at)
        yield from self._changes(at + timedelta(days=self.dice.randint(2, 25)))

    def _fails(self, at: datetime) -> Iterator[DemoEvent]:
        yield self._tell(at, "pastDue", "past_due")
        self.invoices += 1
        yield self._invoice(at, 1, "open", attempts=1)
        later = at + timedelta(days=self.dice.randint(2, 6))
        if later > self.ends:
            return
        if self.dice.random() < RECOVERS:
            yield self._tell(later, "recovered", "active")
            yield self._invoice(later, 2, "paid", attempts=2)
        else:
            yield self._tell(later, "canceled", "canceled")
            yield self._invoice(later, 2, "uncollectible", attempts=4)

    def _changes(self, at: datetime) -> Iterator[DemoEvent]:
        if at > self.ends:
            return
        chance, product = self.dice.random(), self.catalog.prices[self.price]["product"]
        if self.catalog.products[product]["seats"] and chance < 0.2:
            self.quantity = max(3, self.quantity + self.dice.choice((-2, 1, 2, 3, 5)))
        elif chance < UPGRADE and self.price in UPGRADES:
            self.price = UPGRADES[self.price]
        elif UPGRADE < chance < UPGRADE + DOWNGRADE and self.price in DOWNGRADES:
            self.price = DOWNGRADES[self.price]
        else:
            return
        yield self._tell(at, "changed", "active")

    def _paid(self, at: datetime) -> Iterator[DemoEvent]:
        if self.catalog.amount(self.price, self.quantity):
            self.invoices += 1
            yield self._invoice(at, 1, "paid", attempts=1)
            if self.dice.random() < 0.01 and at + timedelta(days=3) < self.ends:
                yield self._invoice(at + timedelta(days=3), 2, "paid", attempts=1, refunded=True)

    def _length(self) -> timedelta:
        return timedelta(days=365) if self.catalog.prices[self.price]["interval"] == "year" else MONTH

    def _tell(self, at: datetime, name: str, status: str) -> DemoEvent:
        self.version, self.status = self.version + 1, status
        has_ended = status in ("canceled", "expired")
        snapshot = {
            "subscription_id": f"sub_demo{self.number:03d}",
            "version": self.version,
            "customer": self.customer,
            "status": status,
            "collection": "automatic",
            "items": [self.catalog.item(self.price, self.quantity)],
            "current_period_start": stamp(self.period[0]),
            "current_period_end": stamp(self.period[1]),
            "trial_end": None,
            "cancel_at_period_end": False,
            "canceled_at": stamp(at) if has_ended else None,
            "ended_at": stamp(at) if has_ended else None,
            "grace_until": None,
            "scheduled_change": None,
            "stripe_subscription_id": None,
            "created_at": stamp(self.began),
        }
        name = "created" if self.version == 1 else name
        return DemoEvent(at, "subscription", name, self.customer, self.version, snapshot)

    def _invoice(
        self, at: datetime, version: int, status: str, *, attempts: int, refunded: bool = False
    ) -> DemoEvent:
        amount = self.catalog.amount(self.price, self.quantity)
        net = amount * 3 // 4 if self.invoices <= self.discounted else amount
        name = "refunded" if refunded else {"paid": "paid", "open": "paymentFailed"}.get(status, "updated")
        line = {
            "description": self.price,
            "amount": amount,
            "quantity": self.quantity,
            "period": {"start": stamp(self.period[0]), "end": stamp(self.period[1])},
            "proration": False,
            "price": self.price,
            "net": net,
        }
        snapshot = {
            "invoice_id": f"inv_demo{self.number:03d}x{self.invoices:02d}",
            "version": version,
            "customer": self.customer,
            "subscription_id": f"sub_demo{self.number:03d}",
            "number": f"DEMO-{self.number:03d}-{self.invoices:02d}",
            "status": status,
            "total": net,
            "amount_due": net,
            "amount_paid": net if status == "paid" else 0,
            "amount_refunded": net // 2 if refunded else 0,
            "currency": "eur",
            "lines": [line],
            "reference": None,
            "attempt_count": attempts,
            "hosted_invoice_url": None,
            "invoice_pdf": None,
            "stripe_invoice_id": f"in_demo{self.number:03d}x{self.invoices:02d}",
            "created_at": stamp(at),
        }
        return DemoEvent(at, "invoice", name, self.customer, version, snapshot)


def lives(catalog: Catalog, customers: int, ends: datetime, seed: int) -> list[Life]:
    """Return the lives of customers who began within the year before `ends`, more and more of them."""
    dice = random.Random(seed)  # noqa: S311 - made-up data
    began = sorted(ends - timedelta(days=365 * (1 - dice.random() ** 0.7)) for _ in range(customers))
    return [
        Life(number, catalog, random.Random(seed * 1000 + number), moment, ends)  # noqa: S311
        for number, moment in enumerate(began, start=1)
    ]


def stamp(moment: datetime) -> str:
    """Return a moment as messages have it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
