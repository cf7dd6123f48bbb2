"""Invariants of a customer's subscriptions and invoices, with amounts calculated independently."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any

import orjson
import sqlalchemy as sa
import stripe

from services.subscriptions.domain.stripe_mapping import state_from_stripe
from services.subscriptions.domain.stripe_objects import read_subscription
from services.subscriptions.domain.subscription_state import State, purchased_items
from services.subscriptions.repository.catalog import load_catalog
from services.subscriptions.repository.subscriptions import find_subscription
from services.subscriptions.snapshots import state_from_row
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer
from tallystick.subjects import CHANGE_FEED_STREAM
from tests.support.worlds.subscriptions import World

VOLUME = [
    {"up_to": 5, "unit_amount": 1000},
    {"up_to": 10, "unit_amount": 800},
    {"up_to": None, "unit_amount": 500},
]


def _price(code: str, model: str, interval: str, **more: Any) -> dict[str, Any]:
    return {"code": code, "model": model, "currency": "eur", "interval": interval, **more}


CATALOG: dict[str, Any] = {
    "features": [
        {"code": "orders", "name": "Orders", "kind": "limit"},
        {"code": "shelves", "name": "Shelves", "kind": "limit"},
    ],
    "products": [
        {
            "code": "solo",
            "name": "Solo",
            "kind": "plan",
            "features": [{"feature": "orders", "quantity": 5}],
            "prices": [_price("solo_monthly", "flat", "month", unit_amount=4900)],
        },
        {
            "code": "crew",
            "name": "Crew",
            "kind": "plan",
            "features": [{"feature": "orders", "quantity": 10}, {"feature": "shelves", "quantity": 1}],
            "prices": [
                _price("crew_monthly", "per_seat", "month", unit_amount=1000),
                _price("crew_volume", "volume", "month", tiers=VOLUME),
                _price("crew_yearly", "per_seat", "year", unit_amount=9999),
            ],
        },
        {
            "code": "gift",
            "name": "Gift",
            "kind": "plan",
            "features": [{"feature": "shelves", "quantity": 2}],
            "prices": [{"code": "gift_free", "model": "free"}],
        },
    ],
}
ACTIVE_FEATURES = {"solo": {"orders": 5}, "crew": {"orders": 10, "shelves": 1}, "gift": {"shelves": 2}}
GRACE = timedelta(days=7)
FINAL_EVENTS = {"canceledV1", "expiredV1"}


def costs(price: str, quantity: int) -> int:
    """Return the amount of a whole period in cents."""
    if price == "crew_volume":
        return quantity * (1000 if quantity <= 5 else 800 if quantity <= 10 else 500)
    return {"solo_monthly": 4900, "crew_monthly": 1000 * quantity, "crew_yearly": 9999 * quantity}[price]


TOLD_SINCE = sa.text(
    "SELECT id, subject, payload FROM subscriptions.outbox WHERE id > :last AND stream = :stream ORDER BY id"
)


@dataclass(slots=True)
class Feed:
    """The change feed, read on from the last position."""

    world: World
    last: int = 0

    async def new(self) -> list[tuple[str, dict[str, Any], str]]:
        """Return the events since the last call: name, body and entity."""
        values = {"last": self.last, "stream": CHANGE_FEED_STREAM}
        async with self.world.bound.engine.connect() as connection:
            rows = (await connection.execute(TOLD_SINCE, values)).mappings().all()
        self.last = rows[-1]["id"] if rows else self.last
        parts = [(row["subject"].split("."), orjson.loads(row["payload"])) for row in rows]
        return [(subject[-1], body, subject[2]) for subject, body in parts]


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a Stripe subscription's item by a command, as Stripe had it before and after."""

    subscription_id: str
    at: datetime
    end: datetime
    """Of the period it was made in."""
    before: int
    """What a whole period cost; likewise after it."""
    after: int
    is_prorated: bool
    is_restart: bool
    """A new period began."""

    @classmethod
    def between(
        cls,
        subscription_id: str,
        before: dict[str, Any],
        after: dict[str, Any] | None,
        at: datetime,
        proration: str | None,
    ) -> "Change":
        """Describe the change of one subscription between two snapshots."""
        assert after is not None
        old, new = before["items"]["data"][0], after["items"]["data"][0]
        is_free_of_charge = before["status"] == "trialing"
        return cls(
            subscription_id=subscription_id,
            at=at,
            end=_moment(old["current_period_end"]),
            before=0 if is_free_of_charge else _costs(old),
            after=0 if is_free_of_charge else _costs(new),
            is_prorated=proration != "none" or _interval(old) != _interval(new),
            is_restart=_interval(old) != _interval(new) and not is_free_of_charge,
        )


@dataclass(slots=True)
class Ledger:
    """The amounts a customer owes, from the plans they had and for how long."""

    changes: list[Change] = field(default_factory=list)

    def conserves_money(
        self,
        client: stripe.StripeClient,
        stripe_id: str,
        subscriptions: list[dict[str, Any]],
        invoices: list[dict[str, Any]],
    ) -> None:
        """Check that every second is charged at the plan of that time, up to the rounding of lines."""
        ours = {each["stripe_subscription_id"]: each["subscription_id"] for each in subscriptions}
        periods: dict[tuple[str, datetime], list[dict[str, Any]]] = {}
        for invoice in invoices:
            for line in invoice["lines"]:
                key = (invoice["subscription_id"], _time(line["period"]["end"]))
                periods.setdefault(key, []).append({**line, "is_void": invoice["status"] == "void"})
        wanted: Any = {"customer": stripe_id, "pending": True, "limit": 100}
        for item in client.v1.invoice_items.list(wanted).data:
            body = item.to_dict(for_json=True)
            of = ours[body["parent"]["subscription_details"]["subscription"]]
            line = {"amount": body["amount"], "proration": body["proration"], "is_void": False}
            periods.setdefault((of, _moment(body["period"]["end"])), []).append(line)
        ended = {each["subscription_id"]: each["ended_at"] for each in subscriptions}
        for (of, end), lines in periods.items():
            # A subscription that is ended at once has no next invoice for what was to be settled with it.
            if ended[of] is None or _time(ended[of]) >= end:
                self._is_conserved(of, end, lines)

    def restarts(self, of: str, end: datetime) -> list[datetime]:
        """Return the moments at which a new period cut this one short."""
        found = (each for each in self.changes if (each.subscription_id, each.end) == (of, end))
        return [each.at for each in found if each.is_restart]

    def _is_conserved(self, of: str, end: datetime, lines: list[dict[str, Any]]) -> None:
        made = [change for change in self.changes if (change.subscription_id, change.end) == (of, end)]
        regular = [line for line in lines if not line["proration"]]
        # What a pause has made void is not owed; and what was changed without a charge is charged for later.
        if (
            any(line["is_void"] for line in lines)
            or not regular
            or not all(each.is_prorated for each in made)
        ):
            return
        # Several where periods began anew within one second, each credited when the next one began.
        start = _time(regular[0]["period"]["start"])
        assert all(_time(line["period"]["start"]) == start for line in regular), regular
        length = int((end - start).total_seconds())
        expected = Fraction(sum(line["amount"] for line in regular))
        for change in made:
            left = Fraction(int((end - change.at).total_seconds()), length)
            expected += ((0 if change.is_restart else change.after) - change.before) * left
        found = sum(line["amount"] for line in lines)
        prorated = len(lines) - len(regular)
        assert abs(found - expected) <= Fraction(prorated, 2), (of, start, end, lines, made)


def periods_are_paid_once(invoices: list[dict[str, Any]], ledger: Ledger) -> None:
    """Check that no second is in two regular lines and each such line costs what its price says."""
    lines: dict[str, list[tuple[datetime, datetime]]] = {}
    for invoice in invoices:
        if invoice["status"] == "void":
            continue
        for line in invoice["lines"]:
            if line["proration"]:
                continue
            start, end = _time(line["period"]["start"]), _time(line["period"]["end"])
            of = invoice["subscription_id"]
            restarts = ledger.restarts(of, end)
            lines.setdefault(of, []).append((start, min([end, *restarts])))
            assert line["amount"] in (0, costs(line["price"], line["quantity"])), line
    for of, spans in lines.items():
        spans.sort()
        for (_, end), (start, _) in pairwise(spans):
            assert end <= start, (of, spans)


@dataclass(slots=True)
class Life:
    """The events emitted about a customer, and the events of Stripe."""

    versions: dict[str, int] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    told: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    failed: dict[str, set[datetime]] = field(default_factory=dict)
    """When Stripe said that the payment of an invoice had failed, by the invoice."""

    def hears(self, events: tuple[dict[str, Any], ...]) -> None:
        """Record what a later check needs of these Stripe events."""
        for event in events:
            if event["type"] == "invoice.payment_failed":
                invoice = event["data"]["object"]["id"]
                self.failed.setdefault(invoice, set()).add(_moment(event["created"]))

    def is_told(self, name: str, body: dict[str, Any], entity: str) -> None:
        """Check versions, that nothing follows an end, and that each payment and failure is emitted once."""
        snapshot = body[entity]
        of = snapshot.get(f"{entity}_id") or str(snapshot)
        assert body["version"] == snapshot["version"] == self.versions.get(of, 0) + 1, (name, of)
        self.versions[of] = body["version"]
        assert of not in self.ended, f"{name} after the end of {of}"
        if entity in ("subscription", "add_on") and name in FINAL_EVENTS:
            self.ended.add(of)
        if entity == "invoice" and name in ("paidV1", "paymentFailedV1", "voidedV1", "createdV1"):
            attempt = snapshot["attempt_count"] if name == "paymentFailedV1" else 0
            self.told[of, name, attempt] += 1
            assert self.told[of, name, attempt] == 1, (name, of, attempt)

    async def subscriptions_are_stripes(self, world: World, customer: Customer, stripe_id: str) -> None:
        """Check that each Stripe subscription equals its row; offline ones have no Stripe object."""
        listed = world.stripe.v1.subscriptions.list(
            {"customer": stripe_id, "status": "all", "limit": 100}
        ).data
        theirs = {found.id: read_subscription(found.to_dict()) for found in listed}
        page = await world.asks(m.ListSubscriptions(customer=customer, limit=200))
        ours = {each["stripe_subscription_id"]: each["subscription_id"] for each in page["items"]}
        assert ours.keys() - {None} == theirs.keys()
        async with world.bound.runtime.transactions.read(asked="test", now=datetime.now(UTC)) as work:
            shelf = await load_catalog(work)
            for found, subscription in theirs.items():
                row = await find_subscription(work.session, ours[found])
                assert row is not None
                assert _essence(state_from_row(row)) == _essence(state_from_stripe(subscription, shelf)), (
                    found
                )

    def invoices_are_stripes(
        self, client: stripe.StripeClient, stripe_id: str, invoices: list[dict[str, Any]]
    ) -> None:
        """Check that our invoices equal Stripe's, with their events and the collected amounts."""
        listed = client.v1.invoices.list({"customer": stripe_id, "limit": 100}).data
        theirs = {each.id: (each.status, each.total, each.amount_paid, each.attempt_count) for each in listed}
        fields = ("status", "total", "amount_paid", "attempt_count")
        ours = {each["stripe_invoice_id"]: tuple(each[name] for name in fields) for each in invoices}
        assert ours == theirs
        for each in invoices:
            assert self.told[each["invoice_id"], "paidV1", 0] == (1 if each["status"] == "paid" else 0)
            attempts = [
                number
                for (of, name, number) in self.told
                if (of, name) == (each["invoice_id"], "paymentFailedV1")
            ]
            assert sorted(attempts) == list(range(1, len(attempts) + 1)), attempts
            assert bool(attempts) == bool(self.failed.get(each["stripe_invoice_id"])), each
        charges = client.v1.charges.list({"customer": stripe_id, "limit": 100}).data
        collected = sum(charge.amount for charge in charges if charge.status == "succeeded")
        assert collected == sum(each["amount_paid"] for each in invoices)

    def grace_is_counted_from_failures(
        self, subscriptions: list[dict[str, Any]], invoices: list[dict[str, Any]]
    ) -> None:
        """Check that grace ends seven days after a failed payment of the subscription."""
        for each in subscriptions:
            if each["status"] == "past_due" and each["collection"] == "automatic":
                own = [
                    i["stripe_invoice_id"]
                    for i in invoices
                    if i["subscription_id"] == each["subscription_id"]
                ]
                failures = {at for invoice in own for at in self.failed.get(invoice, ())}
                assert _time(each["grace_until"]) - GRACE in failures, (each, failures)
            elif each["status"] not in ("past_due", "unpaid"):
                assert (each["grace_until"], each["restricted"]) == (None, False)


def _essence(state: State) -> Any:
    """Return the part of a state that Stripe decides, without features and grace."""
    period = (state.current_period_start, state.current_period_end)
    return (state.status, purchased_items(state), period, state.cancel_at_period_end, state.trial_end)


def _costs(item: dict[str, Any]) -> int:
    return costs(item["price"]["lookup_key"], item["quantity"])


def _interval(item: dict[str, Any]) -> str:
    return str(item["price"]["recurring"]["interval"])


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
