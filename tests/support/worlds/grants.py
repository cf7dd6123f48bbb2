"""Events about subscriptions, teams and seats, for tests of the grants they bring."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import orjson

from tallystick.messages.base import Customer, Event
from tallystick.messages.catalog import Feature, FeatureEvent, OwnerSeat, SeatRule, SeatStrategy
from tallystick.messages.consumables import ConsumableEvent
from tallystick.messages.seats import SeatEvent, SeatSnapshot, TeamEvent, TeamSnapshot
from tallystick.messages.subscriptions import (
    CustomerEvent,
    CustomerSnapshot,
    ItemFeature,
    OverrideSnapshot,
    SubscriptionEvent,
    SubscriptionItem,
    SubscriptionSnapshot,
)
from tests.support.runtime import Bound

ACME = Customer(type="organization", id="acme")
ANN, BOB = Customer(type="user", id="ann"), Customer(type="user", id="bob")
SUBSCRIPTION, TEAM = "sub_1", "team_1"
OWN, POOL = "customer:organization_acme", "team:team_1"
JANUARY = {"current_period_start": "2026-01-01", "current_period_end": "2026-02-01"}


def day(text: str) -> datetime:
    """A moment, UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def gives(code: str = "hours", quantity: int | None = 10, **fields: Any) -> ItemFeature:
    """A feature of an item: by default a consumable granted every month."""
    kind = fields.pop("kind", "consumable")
    every = fields.pop("every", "month" if kind == "consumable" else None)
    return ItemFeature(
        feature=code,
        quantity=quantity,
        kind=kind,
        every=every,
        team_allowed=fields.pop("team_allowed", False),
        rollover=fields.pop("rollover", 0),
    )


def item(*features: ItemFeature, product: str = "plan", quantity: int = 1) -> SubscriptionItem:
    """A plan without seats."""
    return SubscriptionItem(
        product=product, price=f"{product}_monthly", quantity=quantity, seats=None, features=list(features)
    )


def more(code: str = "hours", quantity: int | None = 20, **fields: Any) -> OverrideSnapshot:
    """An override that adds: by default to a consumable, and without an end."""
    kind, until = fields.pop("kind", "consumable"), fields.pop("until", None)
    ends_at = day(until) if until is not None else None
    return OverrideSnapshot(feature=code, kind=kind, allowed=True, quantity=quantity, until=ends_at)


def none_of(code: str = "hours", kind: Any = "consumable") -> OverrideSnapshot:
    """An override that takes away."""
    return OverrideSnapshot(feature=code, kind=kind, allowed=False, quantity=None, until=None)


def team_item(
    *features: ItemFeature,
    strategy: SeatStrategy = "per_team",
    product: str = "team",
    owner_seat: OwnerSeat = "free",
) -> SubscriptionItem:
    """A plan with seats."""
    rule = SeatRule(strategy=strategy, owner_seat=owner_seat)
    return SubscriptionItem(
        product=product, price=f"{product}_monthly", quantity=5, seats=rule, features=list(features)
    )


@dataclass(slots=True)
class Grants:
    """The service on a database, and the events it receives."""

    bound: Bound
    numbers: Iterator[int] = field(default_factory=count)
    """For the ids of commands."""
    _versions: dict[str, int] = field(default_factory=dict)
    _subscriptions: dict[str, SubscriptionSnapshot] = field(default_factory=dict)
    _teams: dict[str, TeamSnapshot] = field(default_factory=dict)
    _seats: dict[str, SeatSnapshot] = field(default_factory=dict)

    def at(self, text: str) -> None:
        """Set the time of everything that follows."""
        self.bound.now = day(text)

    def subscription_event(
        self, *items: SubscriptionItem, subscription_id: str = SUBSCRIPTION, **fields: Any
    ) -> SubscriptionEvent:
        """Return the next event of a subscription with these changes."""
        before = self._subscriptions.get(subscription_id)
        values: dict[str, Any] = {
            "subscription_id": subscription_id,
            "customer": ACME,
            "status": "active",
            "collection": "automatic",
            "items": [],
            "current_period_start": self.bound.now,
            "current_period_end": self.bound.now + timedelta(days=31),
            "trial_end": None,
            "cancel_at_period_end": False,
            "canceled_at": None,
            "ended_at": None,
            "grace_until": None,
            "scheduled_change": None,
            "stripe_subscription_id": None,
            "created_at": self.bound.now,
        }
        values |= dict(before) if before else {}
        values |= fields | ({"items": list(items)} if items else {})
        values["version"] = self._next(subscription_id)
        told = SubscriptionSnapshot(**values)
        self._subscriptions[subscription_id] = told
        return SubscriptionEvent(**self._envelope(subscription_id, told.customer), subscription=told)

    async def subscribed(self, *items: SubscriptionItem, **fields: Any) -> SubscriptionEvent:
        """Deliver the next event of a subscription; periods are given as text."""
        event = self.subscription_event(*items, **self._dated(fields))
        await self.hears(event)
        return event

    async def renewed(self, start: str, end: str, *items: SubscriptionItem, **fields: Any) -> None:
        """Deliver the event that starts the next period."""
        self.at(start)
        await self.subscribed(*items, current_period_start=start, current_period_end=end, **fields)

    async def team(self, team_id: str = TEAM, **fields: Any) -> TeamEvent:
        """Deliver the next event of a team."""
        values: dict[str, Any] = {
            "team_id": team_id,
            "subscription_id": SUBSCRIPTION,
            "customer": ACME,
            "strategy": "per_team",
            "owner_seat": "free",
            "quantity": 5,
            "capacity": 6,
            "occupied": 1,
            "available": 5,
            "seats_in_use": 0,
            "scheduled_quantity": None,
            "billing_manager": ACME,
            "suspended": False,
            "status": "open",
            "change": None,
            "refused_change": None,
            "opened_at": self.bound.now,
            "closed_at": None,
        }
        values |= dict(self._teams[team_id]) if team_id in self._teams else {}
        values |= fields | {"version": self._next(team_id)}
        told = TeamSnapshot(**values)
        self._teams[team_id] = told
        event = TeamEvent(**self._envelope(team_id, ACME), billing_team=told)
        await self.hears(event)
        return event

    def seat_event(
        self, number: int = 1, status: str = "claimed", member: Customer | None = ANN, **fields: Any
    ) -> SeatEvent:
        """The next version of a seat."""
        seat_id = f"seat_{number}"
        values: dict[str, Any] = {
            "seat_id": seat_id,
            "team_id": TEAM,
            "subscription_id": SUBSCRIPTION,
            "email": None,
            "multiplier": 1,
            "role": None,
            "metadata": {},
            "invited_at": self.bound.now,
            "expires_at": None,
            "claimed_at": self.bound.now if status == "claimed" else None,
            "revoked_at": self.bound.now if status == "revoked" else None,
        }
        values |= dict(self._seats[seat_id]) if seat_id in self._seats else {}
        values |= {"status": status, "member": member, **fields, "version": self._next(seat_id)}
        told = SeatSnapshot(**values)
        self._seats[seat_id] = told
        return SeatEvent(**self._envelope(seat_id, ACME), seat=told)

    async def seat(
        self, number: int = 1, status: str = "claimed", member: Customer | None = ANN, **fields: Any
    ) -> SeatEvent:
        """Deliver the next event of a seat."""
        event = self.seat_event(number, status, member, **fields)
        await self.hears(event)
        return event

    def customer_event(self, *overrides: OverrideSnapshot, customer: Customer = ACME) -> CustomerEvent:
        """The next version of a customer, with just these overrides in force."""
        told = CustomerSnapshot(
            type=customer.type,
            id=customer.id,
            customer_id=f"customer_{customer.id}",
            version=self._next(customer.token),
            email="pay@acme.example",
            name=None,
            metadata={},
            stripe_customer_id=None,
            created_at=self.bound.now,
            overrides=list(overrides),
        )
        return CustomerEvent(**self._envelope(customer.token, None) | {"customer": told})

    async def overridden(self, *overrides: OverrideSnapshot) -> CustomerEvent:
        """Deliver the next event of Acme with exactly these overrides."""
        event = self.customer_event(*overrides)
        await self.hears(event)
        return event

    async def feature(self, code: str = "hours", kind: Any = "consumable") -> None:
        """Deliver an event of a feature."""
        told = Feature(
            feature_id=f"feature_{code}",
            version=self._next(code),
            code=code,
            name=code,
            description=None,
            kind=kind,
            unit_price=None,
            archived=False,
        )
        await self.hears(FeatureEvent(**self._envelope(code, None), feature=told))

    async def hears(self, *events: Event) -> None:
        """Deliver events in this order."""
        for event in events:
            await self.bound.hears(event)

    async def renews(self, text: str) -> None:
        """The tick that grants what is due."""
        self.at(text)
        await self.bound.tick("renew_grants", day(text))

    async def expires(self, text: str) -> None:
        """The tick that ends what is over."""
        self.at(text)
        await self.bound.tick("expire_grants", day(text))

    async def remaining(self, account: str, feature: str = "hours") -> int | None:
        """Return what remains in an account; None: unlimited."""
        found = await self.balance(account, feature)
        if found is None:
            return 0
        return None if found["unlimited"] else int(found["remaining"])

    async def balance(self, account: str, feature: str = "hours") -> dict[str, Any] | None:
        """The row of a balance."""
        query = "SELECT * FROM consumables.balances WHERE account = %s AND feature = %s"
        rows = await self.bound.rows(query, account, feature)
        return rows[0] if rows else None

    async def grants(self, account: str, feature: str = "hours") -> list[tuple[Any, ...]]:
        """Return the grants of an account in burn order: (remaining, expires at, priority)."""
        query = """
            SELECT CASE WHEN quantity IS NOT NULL THEN remaining END AS remaining, expires_at, priority
            FROM consumables.grants WHERE account = %s AND feature = %s AND open
            ORDER BY expires_at NULLS LAST, priority, created_at, grant_id
        """
        rows = await self.bound.rows(query, account, feature)
        return [(row["remaining"], row["expires_at"], row["priority"]) for row in rows]

    async def access(self, account: str) -> set[str]:
        """Return the customers with access to an account."""
        rows = await self.bound.rows("SELECT consumer FROM consumables.access WHERE account = %s", account)
        return {row["consumer"] for row in rows}

    async def told(self) -> list[tuple[str, ConsumableEvent]]:
        """Return the balance events so far, validated with their model."""
        found = []
        for subject, body in await self.bound.feed():
            event = ConsumableEvent.model_validate_json(orjson.dumps(body))
            assert event.model_dump(mode="json") == body
            found.append((subject.rpartition(".")[2], event))
        return found

    async def names(self) -> list[str]:
        """The names of the events so far."""
        return [name for name, _ in await self.told()]

    async def bucket(self) -> dict[str, dict[str, Any]]:
        """Return the bucket once everything is published."""
        rows = await self.bound.outbox("KV_billing_balances")
        return {
            row["subject"].removeprefix("$KV.billing_balances."): orjson.loads(row["payload"]) for row in rows
        }

    def _next(self, entity: str) -> int:
        self._versions[entity] = self._versions.get(entity, 0) + 1
        return self._versions[entity]

    def _envelope(self, entity: str, customer: Customer | None) -> dict[str, Any]:
        version = self._versions[entity]
        return {
            "event_id": f"evt_{entity}_{version}",
            "occurred_at": self.bound.now,
            "version": version,
            "caused_by": f"command-{entity}-{version}",
            "customer": customer,
        }

    @staticmethod
    def _dated(fields: dict[str, Any]) -> dict[str, Any]:
        return {name: day(value) if name in _MOMENTS and value else value for name, value in fields.items()}


_MOMENTS: Sequence[str] = ("current_period_start", "current_period_end", "ended_at", "trial_end")
