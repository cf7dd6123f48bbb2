"""Sellers with connected accounts at a Stripe stand-in."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from services.payouts.stripe.client import StripeConnect
from tallystick.messages import payouts as m
from tallystick.messages import subscriptions as s
from tallystick.messages import webhooks
from tallystick.messages.base import Customer, Money
from tallystick.messages.catalog import FlatFeeEntry
from tallystick.subjects import COMMANDS_STREAM
from tests.support.runtime import Bound
from tests.support.stripe import SECRET_KEY, StripeStandIn
from tests.support.worlds.handling import Handling

ACME = Customer(type="organization", id="acme")
CONSUMER = "payouts-stripe-events"
PAGE = "https://app.example/payouts"


BUYER = Customer(type="user", id="buyer")
BUYERS_INVOICE: dict[str, Any] = {
    "customer": {"type": "user", "id": "buyer"},
    "subscription_id": None,
    "number": "1",
    "status": "paid",
    "total": 11_900,
    "amount_due": 11_900,
    "amount_paid": 11_900,
    "currency": "eur",
    "lines": [],
    "reference": None,
    "attempt_count": 1,
    "hosted_invoice_url": None,
    "invoice_pdf": None,
    "stripe_invoice_id": "in_1P",
    "created_at": "2026-01-01T00:00:00Z",
}


def sold(
    net: int, *, product: str = "space", seller: Customer = ACME, percent: int = 85, fee: int = 0
) -> m.SoldLine:
    """A line of a paid invoice."""
    terms = FlatFeeEntry(amount=fee, currency="eur") if fee else None
    return m.SoldLine(product=product, seller=seller, share_percent=percent, fee=terms, net=net)


@dataclass(slots=True)
class SellerWorld(Handling):
    """The service on a database, with Stripe."""

    bound: Bound
    stand_in: StripeStandIn
    stripe: StripeConnect
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    _commands: int = 0
    _applied: set[str] = field(default_factory=set)

    def connect(self, customer: Customer = ACME, **fields: Any) -> m.ConnectAccount:
        """A command that connects a seller."""
        command_id = fields.pop("command_id", None) or self.command_id()
        return m.ConnectAccount(
            command_id=command_id,
            customer=customer,
            **{"country": "DE", "email": "seller@acme.example"} | fields,
        )

    async def connected(self, customer: Customer = ACME, **fields: Any) -> dict[str, Any]:
        """A seller whose account is onboarded; the account."""
        opened = await self.does(self.connect(customer, **fields))
        await self.onboards(opened["onboarding_url"])
        await self.catches_up()
        return await self.account(customer)

    async def onboards(self, url: str, **form: str) -> None:
        """Fill in Stripe's onboarding form."""
        async with httpx.AsyncClient() as browser:
            answer = await browser.post(url, data=form or {"account_number": "DE89370400440532013000"})
        assert answer.status_code == 303, answer.text

    async def account(self, customer: Customer = ACME) -> dict[str, Any]:
        """A seller's account."""
        found: dict[str, Any] = (await self.asks(m.GetAccount(customer=customer)))["account"]
        return found

    async def knob(self, stripe_account_id: str, **knobs: Any) -> None:
        """Act as Stripe or the seller on an account."""
        url = f"{self.stand_in.url}/_sandbox/accounts/{stripe_account_id}"
        async with httpx.AsyncClient() as client:
            (await client.post(url, json=knobs)).raise_for_status()

    def stripe_objects(self, path: str, **params: Any) -> list[dict[str, Any]]:
        """A list of Stripe's objects, oldest first."""
        answer = httpx.get(
            f"{self.stand_in.url}/v1/{path}", params={"limit": 100, **params}, auth=(SECRET_KEY, "")
        ).json()
        assert not answer["has_more"], "more than one page"
        return list(reversed(answer["data"]))

    def new_events(self) -> list[dict[str, Any]]:
        """Return Stripe's events about sellers that were not applied yet, oldest first."""
        return [
            event
            for event in self.stripe_objects("events")
            if event["type"] in webhooks.CONNECT_EVENT_TYPES and event["id"] not in self._applied
        ]

    async def hears(self, *events: dict[str, Any]) -> None:
        """Apply Stripe's events in this order."""
        for event in events:
            self._applied.add(event["id"])
            subject = f"billing.stripe_events.{event['type']}"
            await self.bound.follow(CONSUMER, subject, json.dumps(event).encode())

    async def catches_up(self) -> None:
        """Apply all new events of Stripe."""
        await self.hears(*self.new_events())

    async def sells(
        self, *lines: m.SoldLine, invoice: str = "inv_1", total: int | None = None, currency: str = "eur"
    ) -> dict[str, Any]:
        """A paid invoice with these lines; with 19% of tax unless a total is given."""
        net = sum(line.net for line in lines)
        return await self.does(
            m.RecordSale(
                command_id=f"sale.{invoice}",
                invoice_id=invoice,
                currency=currency,
                total=net * 119 // 100 if total is None else total,
                paid_at=self.now,
                lines=list(lines),
            )
        )

    async def invoice(self, name: str, *, invoice: str = "inv_1", version: int, **fields: Any) -> None:
        """An event about an invoice of a buyer's."""
        snapshot = s.InvoiceSnapshot.model_validate(
            BUYERS_INVOICE | {"invoice_id": invoice, "version": version} | fields, strict=False
        )
        self.bound.now = self.now
        event = s.InvoiceEvent(
            event_id=f"evt_{invoice}_{version}",
            occurred_at=self.now,
            version=version,
            caused_by="evt_1P",
            customer=BUYER,
            invoice=snapshot,
        )
        await self.bound.hears(event, name)

    async def balance(self, customer: Customer = ACME, currency: str = "eur") -> tuple[int, int, int]:
        """What is pending, available and paid out; checks that the sums are in balance."""
        found = await self.asks(m.SellerBalance(customer=customer))
        items = {item["currency"]: item for item in found["items"]}
        item = items.get(currency)
        if item is None:
            return 0, 0, 0
        come = item["earned"] - item["fee"] - item["reversed"] + item["adjusted"] + item["returned"]
        assert come == item["pending"] + item["available"] + item["paid_out"]
        assert item["owed"] == item["pending"] + item["available"]
        return item["pending"], item["available"], item["paid_out"]

    async def entries(self, customer: Customer = ACME) -> list[tuple[str, int]]:
        """The kinds and amounts of a seller's entries, oldest first."""
        page = await self.asks(m.ListSellerEntries(customer=customer, limit=200))
        return [(entry["kind"], entry["amount"]["amount"]) for entry in reversed(page["items"])]

    async def releases(self, **time: float) -> None:
        """Advance the time and release what is due."""
        self.passes(**time)
        await self.bound.tick("release_held", self.now)

    def pay_out(self, amount: int | None = None, customer: Customer = ACME, **fields: Any) -> m.PayOut:
        """A command that pays out."""
        return m.PayOut(
            command_id=fields.pop("command_id", None) or self.command_id(),
            customer=customer,
            amount=Money(amount=amount, currency="eur") if amount is not None else None,
            **{"reference": "January"} | fields,
        )

    async def schedules(self, **fields: Any) -> dict[str, Any]:
        """Set a payout schedule; the account."""
        wanted: dict[str, Any] = {"hold_days": 7, "every": "week", "minimum": 0} | fields
        command = m.SetPayoutSchedule(command_id=self.command_id(), customer=ACME, **wanted)
        account: dict[str, Any] = (await self.does(command))["account"]
        return account

    async def adjusts(self, amount: int, customer: Customer = ACME, currency: str = "eur") -> None:
        """Correct a balance by hand."""
        money = Money(amount=amount, currency=currency)
        await self.does(
            m.AdjustSellerBalance(
                command_id=self.command_id(), customer=customer, amount=money, reason="by hand"
            )
        )

    async def told(self, entity: str) -> list[tuple[str, dict[str, Any]]]:
        """The events of an entity on the feed so far: name and body."""
        feed = await self.bound.feed()
        return [(subject.split(".")[-1], body) for subject, body in feed if subject.split(".")[2] == entity]

    async def names(self, entity: str) -> list[str]:
        """The names of an entity's events."""
        return [name for name, _ in await self.told(entity)]

    async def reports(self) -> list[str]:
        """The outcomes reported to webhooks."""
        rows = await self.bound.outbox(COMMANDS_STREAM)
        queued = [row for row in rows if row["subject"].endswith("record_outcome")]
        return [json.loads(row["payload"])["status"] for row in queued]
