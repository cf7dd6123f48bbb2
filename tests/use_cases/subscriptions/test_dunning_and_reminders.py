"""Trials, dunning and reminders, with Stripe on a test clock."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tallystick.messages import subscriptions as m
from tests.support.catalogs import team_catalog
from tests.support.worlds.subscriptions import ACME, OpenShop, World, gapless

# Raised by how the Stripe SDK calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
FEBRUARY = datetime(2026, 2, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
FAILS_LATER = "pm_card_chargeCustomerFail"


@pytest.fixture
async def world(shop: World) -> World:
    """A shop without a registered customer."""
    return shop


class Clock:
    """A Stripe test clock with a customer of ours on it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.stripe = world.stripe
        made = self.stripe.v1.test_helpers.test_clocks.create({"frozen_time": int(JANUARY.timestamp())})
        self.clock_id = made.id
        self.customer_id = self.stripe.v1.customers.create(
            {"email": "pay@acme.example", "test_clock": made.id}
        ).id

    def saves(self, card: str) -> None:
        method = self.stripe.v1.payment_methods.attach(card, {"customer": self.customer_id})
        settings: Any = {"invoice_settings": {"default_payment_method": method.id}}
        self.stripe.v1.customers.update(self.customer_id, settings)

    def subscribes(self, price: str = "solo_monthly", **params: Any) -> str:
        prices = self.stripe.v1.prices.list({"lookup_keys": [price]})
        wanted: Any = {"customer": self.customer_id, "items": [{"price": prices.data[0].id}], **params}
        return self.stripe.v1.subscriptions.create(wanted).id

    async def reaches(self, moment: datetime) -> None:
        """Advance Stripe's clock and apply all new events."""
        params: Any = {"frozen_time": int(moment.timestamp())}
        self.stripe.v1.test_helpers.test_clocks.advance(self.clock_id, params)
        await self.world.catches_up()


@pytest.fixture
async def clock(world: World) -> Clock:
    clock = Clock(world)
    await world.register(stripe_customer_id=clock.customer_id)
    return clock


async def overdue(world: World, clock: Clock) -> dict[str, Any]:
    """A subscription from 1 January whose renewal on 1 February could not be charged, an hour later."""
    clock.saves("pm_card_visa")
    clock.subscribes()
    await world.catches_up()
    clock.saves(FAILS_LATER)
    await clock.reaches(FEBRUARY + 2 * HOUR)
    return await world.subscription()


# --- Dunning -----------------------------------------------------------------------------------------------


async def test_who_is_overdue_keeps_everything_for_seven_days(world: World, clock: Clock) -> None:
    late = await overdue(world, clock)

    assert (late["status"], late["grace_until"]) == ("past_due", "2026-02-08T01:00:00Z")
    await world.bound.tick("end_grace", FEBRUARY + timedelta(days=7))
    assert (await world.allowed("hours"))["quantity"] == 5
    [failed] = [body for name, body in await world.told("invoice") if name == "paymentFailedV1"]
    assert failed["invoice"]["attempt_count"] == 1


async def test_after_grace_nothing_is_left_and_paying_brings_it_back(world: World, clock: Clock) -> None:
    await overdue(world, clock)
    for _ in range(2):
        await world.bound.tick("end_grace", FEBRUARY + timedelta(days=7, hours=1))

    restricted = await world.subscription()
    assert (restricted["status"], restricted["restricted"]) == ("past_due", True)
    assert (await world.allowed("hours"))["allowed"] is False
    assert await world.bucket() == {}

    clock.saves("pm_card_visa")
    [owed] = world.stripe.v1.invoices.list({"customer": clock.customer_id, "status": "open"}).data
    world.stripe.v1.invoices.pay(owed.id)
    await world.catches_up()

    recovered = await world.subscription()
    assert (recovered["status"], recovered["restricted"], recovered["grace_until"]) == ("active", False, None)
    assert (await world.allowed("hours"))["quantity"] == 5
    assert await world.names("subscription") == [
        "createdV1",
        "activatedV1",
        "renewedV1",
        "pastDueV1",
        "restrictedV1",
        "recoveredV1",
    ]
    assert gapless(await world.told("subscription"), "subscription", "subscription_id")


@pytest.mark.parametrize(
    ("setting", "status", "event"), [("cancel", "canceled", "canceledV1"), ("unpaid", "unpaid", "updatedV1")]
)
async def test_without_retries_left_it_ends_as_configured(
    world: World, clock: Clock, setting: str, status: str, event: str
) -> None:
    url = f"{world.stand_in.url}/_sandbox/billing_settings"
    async with httpx.AsyncClient() as browser:
        assert (await browser.post(url, json={"failed_payments": setting})).status_code == 200
    await overdue(world, clock)
    await world.bound.tick("end_grace", FEBRUARY + timedelta(days=8))

    await clock.reaches(FEBRUARY + timedelta(days=27))

    ended = await world.subscription()
    assert ended["status"] == status
    assert (await world.names("subscription"))[-1] == event
    assert (await world.allowed("hours"))["allowed"] is False
    failures = [body for name, body in await world.told("invoice") if name == "paymentFailedV1"]
    numbers = [failure["invoice"]["attempt_count"] for failure in failures]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > 1


async def test_renewing_after_missed_periods_charges_once(world: World, clock: Clock) -> None:
    # Nothing is paid in February, March and April; one payment of 49.00 in April, and all is well until May.
    url = f"{world.stand_in.url}/_sandbox/billing_settings"
    async with httpx.AsyncClient() as browser:
        assert (await browser.post(url, json={"failed_payments": "past_due"})).status_code == 200
    await overdue(world, clock)
    await clock.reaches(datetime(2026, 3, 20, tzinfo=UTC))
    await clock.reaches(datetime(2026, 4, 2, tzinfo=UTC))
    assert (await world.subscription())["status"] == "past_due"
    before = [body for name, body in await world.told("invoice") if name == "paidV1"]

    clock.saves("pm_card_visa")
    newest = world.stripe.v1.invoices.list({"customer": clock.customer_id, "status": "open"}).data[0]
    world.stripe.v1.invoices.pay(newest.id)
    await world.catches_up()
    await clock.reaches(datetime(2026, 4, 25, tzinfo=UTC))

    subscription = await world.subscription()
    assert (subscription["status"], subscription["grace_until"]) == ("active", None)
    assert (subscription["current_period_start"], subscription["current_period_end"]) == (
        "2026-04-01T00:00:00Z",
        "2026-05-01T00:00:00Z",
    )
    after = [body["invoice"]["amount_paid"] for name, body in await world.told("invoice") if name == "paidV1"]
    assert after[len(before) :] == [4900]
    assert (await world.names("subscription")).count("recoveredV1") == 1


# --- Trials ------------------------------------------------------------------------------------------------


async def test_a_trial_is_announced_once_by_stripe_and_by_the_tick(world: World, clock: Clock) -> None:
    clock.saves("pm_card_visa")
    clock.subscribes(trial_period_days=14)
    await world.catches_up()

    await world.bound.tick("send_reminders", JANUARY + timedelta(days=10))
    assert "trialEndingV1" not in await world.names("subscription")
    await world.bound.tick("send_reminders", JANUARY + timedelta(days=11))
    await clock.reaches(JANUARY + timedelta(days=12))
    await world.bound.tick("send_reminders", JANUARY + timedelta(days=12))
    await clock.reaches(JANUARY + timedelta(days=15))

    assert await world.names("subscription") == [
        "createdV1",
        "trialStartedV1",
        "trialEndingV1",
        "activatedV1",
    ]
    subscription = await world.subscription()
    assert (subscription["status"], subscription["trial_end"]) == ("active", "2026-01-15T00:00:00Z")
    paid = [body["invoice"]["total"] for name, body in await world.told("invoice") if name == "paidV1"]
    assert paid == [0, 4900]


async def test_stripe_s_own_notice_is_enough(world: World, clock: Clock) -> None:
    clock.saves("pm_card_visa")
    clock.subscribes(trial_period_days=14)
    await clock.reaches(JANUARY + timedelta(days=11, hours=1))

    assert (await world.names("subscription")).count("trialEndingV1") == 1


# --- Renewals ----------------------------------------------------------------------------------------------


async def test_a_renewal_is_announced_once_a_period(world: World, clock: Clock) -> None:
    clock.saves("pm_card_visa")
    clock.subscribes()
    await world.catches_up()

    for day in (24, 25, 26):
        await world.bound.tick("send_reminders", JANUARY + timedelta(days=day))
    await clock.reaches(FEBRUARY + 2 * HOUR)
    await world.bound.tick("send_reminders", datetime(2026, 2, 23, tzinfo=UTC))

    assert (await world.names("subscription"))[2:] == ["renewalUpcomingV1", "renewedV1", "renewalUpcomingV1"]


@pytest.mark.parametrize(
    ("interval", "fields", "cancels", "told"),
    [
        ("week", {}, False, []),
        ("month", {}, False, ["renewalUpcomingV1"]),
        ("month", {}, True, []),
        ("month", {"trial_days": 31}, False, ["trialEndingV1"]),
        ("month", {"trial_days": 31}, True, []),
    ],
)
async def test_what_is_short_or_does_not_go_on_is_not_announced(
    open_shop: OpenShop, interval: str, fields: dict[str, Any], cancels: bool, told: list[str]
) -> None:
    document = team_catalog()
    document["products"][0]["prices"][0]["interval"] = interval
    world = await open_shop(document, key=None)
    await world.register()
    items = [m.ItemToBuy(price="solo_monthly")]
    # On the eve of February a week that began on 28 January is running too.
    start = JANUARY - timedelta(days=1) if interval == "week" else JANUARY
    create = m.CreateSubscription(
        command_id=world.command_id(),
        customer=ACME,
        items=items,
        collection="none",
        period_start=start,
        **fields,
    )
    about = (await world.does(create))["subscription"]["subscription_id"]
    if cancels:
        await world.does(
            m.CancelSubscription(command_id=world.command_id(), subscription_id=about, at="period_end")
        )
    await world.bound.tick("move_periods", FEBRUARY - 2 * HOUR)
    before = len(await world.names("subscription"))

    for _ in range(2):
        await world.bound.tick("send_reminders", FEBRUARY - HOUR)

    assert (await world.names("subscription"))[before:] == told


@pytest.mark.parametrize(("expires", "told"), [((2026, 1), 1), ((2026, 2), 0)])
async def test_a_card_that_will_have_expired_is_told_of_once(
    world: World, clock: Clock, expires: tuple[int, int], told: int
) -> None:
    clock.saves("pm_card_visa")
    clock.subscribes()
    # The stand-in gives out no card that has expired by today's calendar.
    [saved] = world.stripe.v1.payment_methods.list({"customer": clock.customer_id}).data
    card = world.stand_in.account.get("payment_method", saved.id)["card"]
    card.update(exp_year=expires[0], exp_month=expires[1])
    await world.catches_up()

    for day in (16, 18, 19):
        await world.bound.tick("send_reminders", JANUARY + timedelta(days=day))

    assert (await world.names("subscription")).count("cardExpiringV1") == told
    assert gapless(await world.told("subscription"), "subscription", "subscription_id")


async def test_a_pause_of_collection_shows_whatever_is_owed(world: World, clock: Clock) -> None:
    late = await overdue(world, clock)
    stripe_id = late["stripe_subscription_id"]
    pause: Any = {"pause_collection": {"behavior": "void"}}
    world.stripe.v1.subscriptions.update(stripe_id, pause)
    await world.catches_up()
    paused = await world.subscription()
    assert (paused["status"], paused["grace_until"], paused["restricted"]) == ("paused", None, False)

    world.stripe.v1.subscriptions.update(stripe_id, {"pause_collection": ""})
    await world.catches_up()
    # What was owed before is still owed, since the same failed payment.
    again = await world.subscription()
    assert (again["status"], again["grace_until"]) == ("past_due", late["grace_until"])
    names = await world.names("subscription")
    assert names[-3:] == ["pastDueV1", "pausedV1", "pastDueV1"]
