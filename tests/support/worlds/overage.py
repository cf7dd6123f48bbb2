"""Accounts whose plan includes units, and which may owe those beyond them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tallystick.messages import consumables as m
from tallystick.messages.base import Command, Customer, Money, Question
from tallystick.messages.catalog import Feature, FeatureEvent, Overage
from tests.support.state_machines.audit import audited
from tests.support.worlds.grants import ACME, JANUARY, Grants, gives, item


@dataclass(slots=True)
class OverageWorld:
    """The service with a plan of 10 hours a month; each hour beyond costs 2.00."""

    units: Grants
    price: Money = field(default_factory=lambda: Money(amount=200, currency="eur"))
    _versions: int = 0

    async def sells(self, cap: int | Money | None = None, *, overage: bool = True) -> None:
        """Deliver an event of the feature, with the price of hours beyond the included ones."""
        self._versions += 1
        known = Feature(
            feature_id="feature_hours",
            version=self._versions,
            code="hours",
            name="Hours",
            description=None,
            kind="consumable",
            unit_price=Money(amount=1500, currency="eur"),
            archived=False,
            overage=Overage(unit_price=self.price, cap=cap) if overage else None,
        )
        event = FeatureEvent(
            event_id=f"evt_feature_{self._versions}",
            occurred_at=self.units.bound.now,
            version=self._versions,
            caused_by="catalog",
            customer=None,
            feature=known,
        )
        await self.units.hears(event)

    async def subscribed(self, *items: Any) -> None:
        """Subscribe the customer for January."""
        await self.units.subscribed(*(items or (item(gives()),)), **JANUARY)

    async def outcome(self, message: Command[Any] | Question[Any]) -> Any:
        """Handle a message; return its result, or the code and details of its rejection."""
        outcome = await self.units.bound.handle(message, self.units.bound.now)
        assert outcome.status != "failed", outcome.error
        if outcome.error is not None:
            return outcome.error.code, outcome.error.details
        return outcome.result

    def consume(self, quantity: int, consumer: Customer = ACME, **fields: Any) -> m.Consume:
        """Return a command that consumes hours."""
        command_id = f"consume-{next(self.units.numbers)}"
        return m.Consume(
            command_id=command_id, consumer=consumer, feature="hours", quantity=quantity, **fields
        )

    async def uses(self, quantity: int, consumer: Customer = ACME, **fields: Any) -> Any:
        """Consume hours: return consumed, remaining and owed ones, or the rejection."""
        found = await self.outcome(self.consume(quantity, consumer, **fields))
        if isinstance(found, tuple):
            return found
        return found["consumed"], found["remaining"], found.get("overage", 0)

    async def owed(self) -> list[tuple[str, int, int]]:
        """Return what is owed: account, units and those charged, in order of account and period."""
        rows: Sequence[dict[str, Any]] = await self.units.bound.rows(
            """SELECT owed.account, consumed, charged
               FROM consumables.overages AS owed JOIN consumables.grants USING (grant_id)
               ORDER BY owed.account, period_start"""
        )
        return [(row["account"], row["consumed"], row["charged"]) for row in rows]

    async def is_sound(self) -> bool:
        """Whether the audit finds nothing."""
        return await audited(self.units.bound.owner_url) == []
