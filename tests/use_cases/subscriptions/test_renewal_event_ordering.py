"""A failed renewal with its events in every order: the result is always the same.

Stripe's clock has moved on before the first event is applied, so a fetched object is newer than the event it
is fetched for.
"""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tallystick.messages import subscriptions as m
from tests.support.worlds.subscriptions import ACME, World, gapless

# Raised by how the Stripe SDK calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

BEFORE = ["createdV1", "activatedV1", "cancelScheduledV1", "reactivatedV1"]
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
FAILS_LATER = "pm_card_chargeCustomerFail"
TABLES = ("subscriptions", "invoices", "checkouts", "entitlements", "outbox")
"""All that the events of a renewal change, those first that others refer to."""


class Renewal:
    """A customer whose card stops working, and Stripe's events of the next month."""

    def __init__(self, world: World) -> None:
        self.world, self.stripe = world, world.stripe
        self.events: list[dict[str, Any]] = []
        self.end = datetime.now(UTC)
        self.clock = self.stripe_id = ""

    async def begins(self) -> None:
        """Buy a plan and apply its events."""
        begin = int(datetime(2031, 1, 1, tzinfo=UTC).timestamp())
        self.clock = self.stripe.v1.test_helpers.test_clocks.create({"frozen_time": begin}).id
        theirs = self.stripe.v1.customers.create({"email": "pay@acme.example", "test_clock": self.clock})
        self.stripe_id = theirs.id
        await self.world.register(stripe_customer_id=theirs.id)
        await self.world.buys("solo_monthly")
        await self.world.catches_up()
        found = await self.world.subscription()
        self.end = datetime.fromisoformat(found["current_period_end"])
        # What we know after a command is Stripe's answer: the next event does not tell which is newer.
        mine = {"subscription_id": found["subscription_id"]}
        cancel = m.CancelSubscription(command_id=self.world.command_id(), at="period_end", **mine)
        await self.world.does(cancel)
        await self.world.does(m.ReactivateSubscription(command_id=self.world.command_id(), **mine))

    def saves(self, card: str) -> str:
        """Make a card what is charged."""
        method = self.stripe.v1.payment_methods.attach(card, {"customer": self.stripe_id}).id
        default: Any = {"invoice_settings": {"default_payment_method": method}}
        self.stripe.v1.customers.update(self.stripe_id, default)
        [subscription] = self.stripe.v1.subscriptions.list({"customer": self.stripe_id}).data
        self.stripe.v1.subscriptions.update(subscription.id, {"default_payment_method": ""})
        self.world.skips_new_events()
        return method

    def reaches(self, moment: datetime) -> None:
        """Advance the clock and collect Stripe's events on the way."""
        self.stripe.v1.test_helpers.test_clocks.advance(self.clock, {"frozen_time": int(moment.timestamp())})
        self.collects()

    def collects(self) -> None:
        """Collect Stripe's new events without applying them."""
        self.events += self.world.new_events()
        self.world.skips_new_events()

    async def starts_over(self) -> None:
        """Restore the tables to their state before the renewal."""
        await self._each_table("TRUNCATE subscriptions.{} CASCADE")
        await self._each_table(
            "INSERT INTO subscriptions.{0} OVERRIDING SYSTEM VALUE SELECT * FROM saved.{0}"
        )

    async def is_remembered(self) -> None:
        """Keep our tables as they are now."""
        await self._each_table("CREATE TABLE saved.{0} AS SELECT * FROM subscriptions.{0}")

    async def _each_table(self, statement: str) -> None:
        async with await psycopg.AsyncConnection.connect(self.world.bound.owner_url) as connection:
            await connection.execute("CREATE SCHEMA IF NOT EXISTS saved")
            for table in TABLES:
                await connection.execute(sql.SQL(statement).format(sql.Identifier(table)))

    def of(self, kind: str, number: int = 0) -> dict[str, Any]:
        """One of the events, by its type."""
        return [event for event in self.events if event["type"] == kind][number]


async def failures(world: World) -> list[int]:
    return [
        body["invoice"]["attempt_count"]
        for name, body in await world.told("invoice")
        if name == "paymentFailedV1"
    ]


@pytest.fixture
async def world(shop: World) -> World:
    """A shop without a registered customer: that one comes with a test clock."""
    return shop


@pytest.fixture
async def renewal(world: World) -> Renewal:
    """A renewal that is yet to come."""
    renewal = Renewal(world)
    await renewal.begins()
    renewal.saves(FAILS_LATER)
    await renewal.is_remembered()
    return renewal


def orders(events: Sequence[dict[str, Any]], chosen: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Yield every order of the chosen events with the others mixed in, and some repeated."""
    rest = [event for event in events if event not in chosen]
    found = []
    for seed, order in enumerate(permutations(chosen)):
        dice, mixed = random.Random(seed), list(order)
        for event in [*rest, *dice.sample(list(events), len(events) // 2)]:
            mixed.insert(dice.randint(0, len(mixed)), event)
        found.append(mixed)
    return found


async def test_a_failed_renewal_is_the_same_in_every_order(world: World, renewal: Renewal) -> None:
    # The period ends on 1 February; the payment fails an hour later, and from then on seven days are given.
    renewal.reaches(renewal.end + 2 * HOUR)
    chosen = [
        renewal.of("customer.subscription.updated", 0),
        renewal.of("customer.subscription.updated", 1),
        renewal.of("invoice.created"),
        renewal.of("invoice.payment_failed"),
    ]

    for order in orders(renewal.events, chosen):
        await renewal.starts_over()
        await world.hears(*order)

        heard = [(event["type"], event["created"]) for event in order]
        found = await world.subscription()
        assert found["status"] == "past_due", heard
        assert datetime.fromisoformat(found["grace_until"]) == renewal.end + HOUR + 7 * DAY, heard
        told = await world.told("subscription")
        assert [name for name, _ in told] == [*BEFORE, "renewedV1", "pastDueV1"], heard
        assert gapless(told, "subscription", "subscription_id")
        assert await failures(world) == [1], heard
        assert gapless(await world.told("invoice"), "invoice", "invoice_id")


async def test_attempts_that_were_overtaken_are_told_each_once(world: World, renewal: Renewal) -> None:
    # Failed on 1, 4 and 9 February, then paid manually. No event arrived at the time.
    for at in (2 * HOUR, 4 * DAY, 9 * DAY):
        renewal.reaches(renewal.end + at)
    method = renewal.saves("pm_card_visa")
    [owed] = renewal.stripe.v1.invoices.list({"customer": renewal.stripe_id, "status": "open"}).data
    renewal.stripe.v1.invoices.pay(owed.id, {"payment_method": method})
    renewal.collects()
    chosen = [
        *(renewal.of("invoice.payment_failed", number) for number in range(3)),
        renewal.of("invoice.paid"),
    ]

    for order in orders(renewal.events, chosen):
        await renewal.starts_over()
        await world.hears(*order)

        heard = [(event["type"], event["created"]) for event in order]
        assert await failures(world) == [1, 2, 3], heard
        [newest, _] = (await world.asks(m.ListInvoices(customer=ACME)))["items"]
        assert (newest["status"], newest["attempt_count"]) == ("paid", 3), heard
        assert (await world.names("invoice")).count("paidV1") == 2, heard
        found = await world.subscription()
        assert (found["status"], found["grace_until"]) == ("active", None), heard
        assert (await world.names("subscription")).count("renewedV1") == 1, heard


async def test_grace_starts_with_the_first_failure_even_if_heard_late(world: World, renewal: Renewal) -> None:
    renewal.reaches(renewal.end + 2 * HOUR)
    renewal.reaches(renewal.end + 4 * DAY)
    late = renewal.of("invoice.payment_failed", 1)
    rest = [event for event in renewal.events if event is not late]

    await world.hears(late)
    await world.hears(*rest)

    assert await failures(world) == [1, 2]
    grace = datetime.fromisoformat((await world.subscription())["grace_until"])
    assert grace == renewal.end + HOUR + 7 * DAY


async def test_grace_is_counted_from_a_payment_that_failed_days_later(world: World, renewal: Renewal) -> None:
    # Some payments take days to fail; what was finalized is not late while one is on its way.
    renewal.reaches(renewal.end + 2 * HOUR)
    failed, late = renewal.of("invoice.payment_failed"), renewal.of("customer.subscription.updated", 1)
    failed["created"] = late["created"] = int((renewal.end + 5 * DAY).timestamp())

    for order in permutations([failed, late]):
        await renewal.starts_over()
        await world.hears(*order)
        found = await world.subscription()
        assert datetime.fromisoformat(found["grace_until"]) == renewal.end + 12 * DAY


async def test_who_is_found_late_has_grace_from_the_failed_payment(world: World, renewal: Renewal) -> None:
    # None of the events arrives; two days later the hourly comparison finds it out.
    renewal.reaches(renewal.end + 2 * DAY)

    await world.bound.tick("sync_stripe", renewal.end + 2 * DAY)

    found = await world.subscription()
    assert found["status"] == "past_due"
    assert datetime.fromisoformat(found["grace_until"]) == renewal.end + HOUR + 7 * DAY
    await world.bound.tick("end_grace", renewal.end + HOUR + 7 * DAY)
    assert (await world.subscription())["restricted"] is True
