"""The monitoring service on a database, hearing events of the other services."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tallystick.messages import catalog as c
from tallystick.messages import monitoring as m
from tallystick.messages import seats
from tallystick.messages import subscriptions as s
from tallystick.messages.base import Command, Customer, Event, Question
from tests.support.runtime import Bound

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def organization(name: str) -> Customer:
    """A customer."""
    return Customer(type="organization", id=name)


@dataclass(slots=True)
class MonitoringWorld:
    """The service, and makers of what it hears."""

    bound: Bound
    _commands: int = 0
    heard: list[tuple[Event, str]] = field(default_factory=list)

    def command_id(self) -> str:
        """Return a fresh command id."""
        self._commands += 1
        return f"command-{self._commands}"

    async def does(self, command: Command[Any], now: datetime | None = None) -> dict[str, Any]:
        """Handle a command that must succeed and return its result."""
        outcome = await self.bound.handle(command, now)
        assert outcome.status == "succeeded", outcome.error
        assert outcome.result is not None
        return outcome.result

    async def asks(self, question: Question[Any], now: datetime | None = None) -> dict[str, Any]:
        """The answer to a question that has one."""
        outcome = await self.bound.handle(question, now)
        assert outcome.status == "succeeded", outcome.error
        assert outcome.result is not None
        return outcome.result

    async def captures(self, at: datetime) -> dict[str, Any]:
        """Capture a snapshot and return it."""
        result = await self.does(m.CaptureSnapshot(command_id=self.command_id(), at=at))
        found: dict[str, Any] = result["snapshot"]
        return found

    async def hears(self, event: Event, name: str) -> None:
        """Deliver an event, and remember it to deliver it again."""
        self.heard.append((event, name))
        await self.bound.hears(event, name)

    async def hears_all_again(self) -> None:
        """Deliver every event so far again, newest first, as a replay in the wrong order would."""
        for event, name in reversed(self.heard):
            await self.bound.hears(event, name)

    async def registers(self, name: str) -> Customer:
        """A customer that was registered."""
        customer = organization(name)
        snapshot = s.CustomerSnapshot(
            **customer.model_dump(),
            customer_id=f"customer_{name}",
            version=1,
            email=f"{name}@example.com",
            name=None,
            metadata={},
            stripe_customer_id=None,
            created_at=BEGIN,
        )
        event = s.CustomerEvent(**envelope(1, BEGIN, None) | {"customer": snapshot})
        await self.hears(event, "created")
        return customer

    async def sells(self, code: str, **terms: Any) -> None:
        """A price of the catalog."""
        fields: dict[str, Any] = {
            "model": "flat",
            "currency": "eur",
            "interval": "month",
            "base_amount": 0,
            "tiers": [],
        }
        price = c.Price(
            **fields | terms,
            price_id=f"price_{code}",
            version=1,
            code=code,
            product=terms.pop("product", code),
            trial_days=None,
            listed=True,
            archived=False,
            stripe_price_id=None,
        )
        await self.hears(c.PriceEvent(**envelope(1, BEGIN, None), price=price), "created")

    def subscription(
        self, customer: Customer, version: int, at: datetime, status: s.Status, price: str, **fields: Any
    ) -> s.SubscriptionEvent:
        """A version of a subscription; `quantity`, `features` and `id` are its item's and its own."""
        item = s.SubscriptionItem(
            product=fields.pop("product", price),
            price=price,
            quantity=fields.pop("quantity", 1),
            seats=None,
            features=fields.pop("features", []),
        )
        snapshot = s.SubscriptionSnapshot(
            subscription_id=fields.pop("id", f"sub_{customer.id}"),
            version=version,
            customer=customer,
            status=status,
            collection="automatic",
            items=[item],
            current_period_start=BEGIN,
            current_period_end=None,
            trial_end=fields.pop("trial_end", None),
            cancel_at_period_end=False,
            canceled_at=None,
            ended_at=None,
            grace_until=None,
            scheduled_change=None,
            stripe_subscription_id=None,
            created_at=fields.pop("created_at", BEGIN),
            **fields,
        )
        return s.SubscriptionEvent(**envelope(version, at, customer), subscription=snapshot)

    def invoice(
        self, customer: Customer, version: int, at: datetime, status: s.InvoiceStatus, **fields: Any
    ) -> s.InvoiceEvent:
        """A version of an invoice over 49.00."""
        amounts: dict[str, Any] = {
            "total": 4900,
            "amount_due": 4900,
            "amount_paid": 4900 if status == "paid" else 0,
        }
        invoice_id = fields.pop("id", f"inv_{customer.id}")
        snapshot = s.InvoiceSnapshot(
            **{"lines": [], "reference": None} | amounts | fields,
            invoice_id=invoice_id,
            version=version,
            customer=customer,
            subscription_id=f"sub_{customer.id}",
            number="1",
            status=status,
            currency="eur",
            hosted_invoice_url=None,
            invoice_pdf=None,
            stripe_invoice_id="in_1",
            created_at=at,
        )
        return s.InvoiceEvent(**envelope(version, at, customer), invoice=snapshot)

    async def opens_team(self, customer: Customer, capacity: int, occupied: int) -> None:
        """A team with seats."""
        team = seats.TeamSnapshot(
            team_id=f"team_{customer.id}",
            version=1,
            subscription_id=f"sub_{customer.id}",
            customer=customer,
            strategy="per_seat",
            owner_seat="none",
            quantity=capacity,
            capacity=capacity,
            occupied=occupied,
            available=capacity - occupied,
            seats_in_use=occupied,
            scheduled_quantity=None,
            billing_manager=customer,
            suspended=False,
            status="open",
            change=None,
            refused_change=None,
            opened_at=BEGIN,
            closed_at=None,
        )
        await self.hears(seats.TeamEvent(**envelope(1, BEGIN, customer), billing_team=team), "opened")


def envelope(version: int, at: datetime, customer: Customer | None) -> dict[str, Any]:
    """The fields of every event, those of an event about this customer."""
    return {
        "event_id": f"evt_{version}",
        "occurred_at": at,
        "version": version,
        "caused_by": "a test",
        "customer": customer,
    }
