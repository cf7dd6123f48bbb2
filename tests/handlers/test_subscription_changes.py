"""Other plans and quantities, now and at the period's end, on a test clock of the Stripe stand-in."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.subscriptions.app import service
from services.subscriptions.checkouts import Trials
from services.subscriptions.dunning import Dunning
from services.subscriptions.stripe_gateway import StripeGateway
from tallystick.messages import catalog
from tallystick.messages import subscriptions as m
from tests.handlers.subscription_world import ACME, World, gapless
from tests.support.runtime import Bound
from tests.support.stripe import SECRET_KEY, StripeStandIn, stripe_stand_in

# The SDK's own way of calling httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
MIDDLE = datetime(2026, 1, 16, 12, tzinfo=UTC)
"""Half of January is left."""
FEBRUARY = datetime(2026, 2, 1, tzinfo=UTC)
STEPS = [
    {"up_to": 5, "unit_amount": 1000},
    {"up_to": 10, "unit_amount": 800},
    {"up_to": None, "unit_amount": 500},
]


def _price(code: str, model: str, **more: Any) -> dict[str, Any]:
    return {"code": code, "model": model, "currency": "eur", "interval": "month", **more}


def _plan(code: str, *prices: dict[str, Any], seats: bool = True) -> dict[str, Any]:
    rule = {"seats": {"strategy": "per_seat", "minimum": 1, "maximum": 100}} if seats else {}
    return {"code": code, "name": code.title(), "kind": "plan", "prices": list(prices), **rule}


CATALOG: dict[str, Any] = {
    "products": [
        _plan(
            "crew",
            _price("crew_volume", "volume", tiers=STEPS),
            _price("crew_graduated", "graduated", tiers=STEPS),
            _price("crew_yearly", "per_seat", unit_amount=10000) | {"interval": "year"},
            _price("crew_usd", "per_seat", unit_amount=900) | {"currency": "usd"},
        ),
        _plan("solo", _price("solo_monthly", "flat", unit_amount=4900), seats=False),
        _plan("big", _price("big_monthly", "flat", unit_amount=9900), seats=False),
        _plan("yen", _price("yen_monthly", "per_seat", unit_amount=500) | {"currency": "jpy"}),
        _plan("dinar", _price("dinar_monthly", "per_seat", unit_amount=1500) | {"currency": "kwd"}),
        {
            "code": "domain",
            "name": "Domain",
            "kind": "add_on",
            "required_details": ["domain_name"],
            "prices": [_price("domain_yearly", "flat", unit_amount=1500) | {"interval": "year"}],
        },
        _plan("gift", {"code": "gift_free", "model": "free"}, {"code": "gift_more", "model": "free"}),
    ]
}


@pytest.fixture
def stand_in() -> Iterator[StripeStandIn]:
    with stripe_stand_in() as running:
        yield running


@pytest.fixture
async def world(bind: Callable[..., Bound], stand_in: StripeStandIn) -> AsyncIterator[World]:
    gateway = StripeGateway(SECRET_KEY, stand_in.url)
    world = World(bind(service, gateway, Trials(None), Dunning()), stand_in, gateway)
    await world.does(catalog.ApplyCatalog(command_id=world.command_id(), catalog=CATALOG))
    yield world
    await gateway.close()


class Crew:
    """A customer on a test clock, with a subscription from 1 January on."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.clock = ""
        self.theirs = ""

    async def begins(self, price: str = "crew_volume", quantity: int = 3, **params: Any) -> dict[str, Any]:
        v1 = self.world.stripe.v1
        self.clock = v1.test_helpers.test_clocks.create({"frozen_time": int(NEW_YEAR.timestamp())}).id
        customer = v1.customers.create({"email": "pay@acme.example", "test_clock": self.clock})
        self.theirs = customer.id
        self.saves("pm_card_visa")
        await self.world.register(stripe_customer_id=customer.id)
        stripe_price = v1.prices.list({"lookup_keys": [price]}).data[0].id
        items = [{"price": stripe_price, "quantity": quantity}]
        wanted: Any = {"customer": customer.id, "items": items, **params}
        v1.subscriptions.create(wanted)
        await self.world.catches_up()
        return await self.world.subscription()

    def saves(self, card: str) -> None:
        v1 = self.world.stripe.v1
        method = v1.payment_methods.attach(card, {"customer": self.theirs})
        settings: Any = {"invoice_settings": {"default_payment_method": method.id}}
        v1.customers.update(self.theirs, settings)

    async def reaches(self, moment: datetime) -> None:
        """Let Stripe's time pass, and hear of all that happened."""
        seconds: Any = {"frozen_time": int(moment.timestamp())}
        self.world.stripe.v1.test_helpers.test_clocks.advance(self.clock, seconds)
        await self.world.catches_up()

    async def id(self) -> str:
        found: str = (await self.world.subscription())["subscription_id"]
        return found

    async def quantity(self, quantity: int, **fields: Any) -> m.ChangeQuantity:
        return m.ChangeQuantity(
            command_id=self.world.command_id(), subscription_id=await self.id(), quantity=quantity, **fields
        )

    async def plan(self, price: str, **fields: Any) -> m.ChangePlan:
        return m.ChangePlan(
            command_id=self.world.command_id(), subscription_id=await self.id(), price=price, **fields
        )

    async def preview(self, **fields: Any) -> dict[str, Any]:
        return await self.world.asks(m.PreviewChange(subscription_id=await self.id(), **fields))

    async def newest_invoice(self) -> dict[str, Any]:
        page = await self.world.asks(m.ListInvoices(customer=ACME))
        found: dict[str, Any] = page["items"][0]
        return found


@pytest.fixture
def crew(world: World) -> Crew:
    return Crew(world)


def bought(subscription: dict[str, Any]) -> list[tuple[str, int]]:
    return [(item["price"], item["quantity"]) for item in subscription["items"]]


def amounts(lines: list[dict[str, Any]]) -> list[int]:
    return [line["amount"] for line in lines]


async def test_more_seats_in_the_middle_of_a_month_are_settled_with_the_next_invoice(crew: Crew) -> None:
    # 3 × 10.00 = 30.00 for January; 8 × 8.00 = 64.00 a month. Half is left: -15.00 + 32.00 = 17.00.
    await crew.begins()
    await crew.reaches(MIDDLE)
    preview = await crew.preview(quantity=8)
    assert preview["due_now"] == {"amount": 0, "currency": "eur"}
    assert preview["next_invoice"] == {"amount": 8100, "currency": "eur"}

    result = await crew.world.does(await crew.quantity(8))
    assert bought(result["subscription"]) == [("crew_volume", 8)]
    assert result["scheduled_change"] is None
    await crew.reaches(FEBRUARY + timedelta(hours=2))
    invoice = await crew.newest_invoice()
    assert (invoice["total"], invoice["status"]) == (8100, "paid")
    assert sorted(amounts(invoice["lines"])) == [-1500, 3200, 6400]
    shown = [(line["description"], line["amount"], line["period"]) for line in preview["lines"]]
    invoiced = [(line["description"], line["amount"], line["period"]) for line in invoice["lines"]]
    assert sorted(map(str, shown)) == sorted(map(str, invoiced))
    told = await crew.world.told("subscription")
    assert [name for name, _ in told] == ["createdV1", "activatedV1", "changedV1", "renewedV1"]
    assert gapless(told, "subscription", "subscription_id")


async def test_more_seats_invoiced_at_once_cost_what_the_preview_says(crew: Crew) -> None:
    await crew.begins()
    await crew.reaches(MIDDLE)
    preview = await crew.preview(quantity=8, proration="invoice")
    assert preview["due_now"]["amount"] == 1700
    assert preview["next_invoice"]["amount"] == 6400
    assert amounts(preview["lines"]) == [-1500, 3200]

    await crew.world.does(await crew.quantity(8, when="now", proration="invoice"))
    await crew.world.catches_up()
    invoice = await crew.newest_invoice()
    assert (invoice["total"], invoice["amount_paid"]) == (1700, 1700)
    assert [(line["description"], line["amount"]) for line in invoice["lines"]] == [
        (line["description"], line["amount"]) for line in preview["lines"]
    ]


async def test_without_proration_nothing_is_settled(crew: Crew) -> None:
    # Graduated: 5 × 10.00 + 3 × 8.00 = 74.00.
    await crew.begins("crew_graduated")
    await crew.reaches(MIDDLE)
    assert (await crew.preview(quantity=8, proration="none"))["next_invoice"]["amount"] == 7400
    await crew.world.does(await crew.quantity(8, proration="none"))
    await crew.reaches(FEBRUARY + timedelta(hours=2))
    assert (await crew.newest_invoice())["total"] == 7400


async def test_a_payment_that_fails_leaves_the_subscription_as_it_was(crew: Crew) -> None:
    await crew.begins()
    await crew.reaches(MIDDLE)
    before = await crew.world.subscription()
    crew.saves("pm_card_chargeCustomerFail")
    code, details = await crew.world.refuses(await crew.quantity(8, proration="invoice"))
    assert (code, details["stripe_code"]) == ("payment_failed", "card_declined")
    await crew.world.catches_up()
    assert await crew.world.subscription() == before
    in_stripe = crew.world.stripe.v1.subscriptions.retrieve(before["stripe_subscription_id"])
    assert in_stripe["items"].data[0].quantity == 3


async def test_less_waits_for_the_end_of_what_is_paid_for(crew: Crew) -> None:
    await crew.begins(quantity=8)
    await crew.reaches(MIDDLE)
    preview = await crew.preview(quantity=3)
    assert (preview["due_now"]["amount"], preview["next_invoice"]["amount"]) == (0, 3000)
    result = await crew.world.does(await crew.quantity(3))
    assert bought(result["subscription"]) == [("crew_volume", 8)]
    waiting = {"product": "crew", "price": "crew_volume", "quantity": 3, "at": "2026-02-01T00:00:00Z"}
    assert result["scheduled_change"] == result["subscription"]["scheduled_change"] == waiting
    await crew.world.catches_up()
    assert (await crew.world.subscription())["scheduled_change"] == waiting

    await crew.reaches(FEBRUARY + timedelta(hours=2))
    after = await crew.world.subscription()
    assert (bought(after), after["scheduled_change"]) == ([("crew_volume", 3)], None)
    assert (await crew.newest_invoice())["total"] == 3000
    assert await crew.world.names("subscription") == [
        "createdV1",
        "activatedV1",
        "changeScheduledV1",
        "renewedV1",
        "changedV1",
    ]


async def test_back_to_what_runs_now_drops_what_was_scheduled(crew: Crew) -> None:
    await crew.begins()
    for quantity in (1, 2):
        result = await crew.world.does(await crew.quantity(quantity, when="period_end"))
        assert result["scheduled_change"]["quantity"] == quantity
        await crew.world.catches_up()
    result = await crew.world.does(await crew.quantity(3, when="period_end"))
    assert result["scheduled_change"] is None
    await crew.world.catches_up()
    assert (await crew.world.subscription())["scheduled_change"] is None
    await crew.reaches(FEBRUARY + timedelta(hours=2))
    assert bought(await crew.world.subscription()) == [("crew_volume", 3)]
    assert (await crew.newest_invoice())["total"] == 3000


async def test_a_scheduled_change_is_taken_back(crew: Crew) -> None:
    await crew.begins()
    subscription_id = await crew.id()

    def take_back() -> m.CancelScheduledChange:
        return m.CancelScheduledChange(command_id=crew.world.command_id(), subscription_id=subscription_id)

    assert (await crew.world.refuses(take_back()))[0] == "nothing_scheduled"
    await crew.world.does(await crew.quantity(1))
    assert (await crew.world.does(take_back()))["subscription"]["scheduled_change"] is None
    await crew.world.catches_up()
    assert (await crew.world.refuses(take_back()))[0] == "nothing_scheduled"
    await crew.reaches(FEBRUARY + timedelta(hours=2))
    assert (await crew.newest_invoice())["total"] == 3000


async def test_a_change_now_overtakes_what_was_scheduled_and_may_be_scheduled_again(crew: Crew) -> None:
    await crew.begins()
    await crew.world.does(await crew.quantity(1))
    result = await crew.world.does(await crew.quantity(4, when="now"))
    assert (bought(result["subscription"]), result["scheduled_change"]) == ([("crew_volume", 4)], None)
    await crew.world.catches_up()
    await crew.world.does(await crew.quantity(2))
    await crew.reaches(FEBRUARY + timedelta(hours=2))
    assert bought(await crew.world.subscription()) == [("crew_volume", 2)]
    # While the schedule still holds the subscription in its last period:
    await crew.world.does(await crew.quantity(1))
    await crew.reaches(datetime(2026, 3, 1, 2, tzinfo=UTC))
    assert bought(await crew.world.subscription()) == [("crew_volume", 1)]


async def test_the_same_again_changes_nothing(crew: Crew) -> None:
    await crew.begins()
    before = await crew.world.subscription()
    result = await crew.world.does(await crew.quantity(3))
    assert result["subscription"] == before
    code, details = await crew.world.refuses(await crew.plan("crew_volume"))
    assert (code, details) == ("same_price", {"price": "crew_volume"})
    assert await crew.world.subscription() == before
    assert await crew.world.names("subscription") == ["createdV1", "activatedV1"]


async def test_a_scheduled_change_asked_for_again_is_told_once(crew: Crew) -> None:
    await crew.begins()
    for _ in range(2):
        await crew.world.does(await crew.quantity(1))
    assert (await crew.world.names("subscription")).count("changeScheduledV1") == 1


async def test_a_dearer_plan_is_there_at_once_and_a_cheaper_one_waits(crew: Crew) -> None:
    await crew.begins("solo_monthly", 1)
    up = await crew.world.does(await crew.plan("big_monthly"))
    assert bought(up["subscription"]) == [("big_monthly", 1)]
    down = await crew.world.does(await crew.plan("solo_monthly"))
    assert bought(down["subscription"]) == [("big_monthly", 1)]
    assert down["scheduled_change"]["price"] == "solo_monthly"
    now = await crew.world.does(await crew.plan("solo_monthly", when="now"))
    assert (bought(now["subscription"]), now["scheduled_change"]) == ([("solo_monthly", 1)], None)


async def test_a_longer_interval_begins_at_once_and_a_shorter_one_waits(crew: Crew) -> None:
    # 3 × 100.00 for a year, less half of the 30.00 for January.
    await crew.begins()
    await crew.reaches(MIDDLE)
    preview = await crew.preview(price="crew_yearly")
    assert (preview["due_now"]["amount"], preview["next_invoice"]["amount"]) == (28500, 30000)
    result = await crew.world.does(await crew.plan("crew_yearly"))
    assert result["subscription"]["current_period_start"] == "2026-01-16T12:00:00Z"
    assert result["subscription"]["current_period_end"] == "2027-01-16T12:00:00Z"
    await crew.world.catches_up()
    assert (await crew.newest_invoice())["total"] == 28500

    back = await crew.preview(price="crew_volume")
    assert (back["due_now"]["amount"], back["next_invoice"]["amount"]) == (0, 3000)
    assert back["lines"][-1]["period"] == {"start": "2027-01-16T12:00:00Z", "end": "2027-02-16T12:00:00Z"}
    result = await crew.world.does(await crew.plan("crew_volume"))
    assert result["scheduled_change"]["at"] == "2027-01-16T12:00:00Z"
    await crew.reaches(datetime(2027, 1, 16, 14, tzinfo=UTC))
    after = await crew.world.subscription()
    assert bought(after) == [("crew_volume", 3)]
    assert after["current_period_end"] == "2027-02-16T12:00:00Z"
    assert (await crew.newest_invoice())["total"] == 3000


async def test_in_a_trial_everything_is_changed_at_once(crew: Crew) -> None:
    await crew.begins(quantity=8, trial_period_days=14)
    result = await crew.world.does(await crew.quantity(3))
    assert (bought(result["subscription"]), result["scheduled_change"]) == ([("crew_volume", 3)], None)
    await crew.reaches(datetime(2026, 1, 15, 2, tzinfo=UTC))
    assert (await crew.newest_invoice())["total"] == 3000


async def test_a_change_scheduled_in_a_trial_takes_effect_with_the_first_payment(crew: Crew) -> None:
    await crew.begins(quantity=8, trial_period_days=14)
    await crew.world.does(await crew.quantity(3, when="period_end"))
    await crew.reaches(datetime(2026, 1, 15, 2, tzinfo=UTC))
    after = await crew.world.subscription()
    assert (after["status"], bought(after)) == ("active", [("crew_volume", 3)])
    assert (await crew.newest_invoice())["total"] == 3000


@pytest.mark.parametrize(
    ("price", "quantity", "code"),
    [
        ("nothing_here", None, "unknown_price"),
        ("gift_free", None, "unknown_price"),
        ("crew_usd", None, "invalid_message"),
        ("crew_graduated", 101, "quantity_out_of_range"),
        ("solo_monthly", 2, "quantity_out_of_range"),
    ],
)
async def test_what_cannot_be_is_refused(crew: Crew, price: str, quantity: int | None, code: str) -> None:
    await crew.begins()
    assert (await crew.world.refuses(await crew.plan(price, quantity=quantity)))[0] == code


async def test_fewer_seats_than_are_taken_are_refused(crew: Crew) -> None:
    await crew.begins(quantity=10)
    await crew.world.bound.rows("UPDATE subscriptions.subscriptions SET seats_occupied = 7 RETURNING 1")
    for when in ("now", "period_end"):
        code, details = await crew.world.refuses(await crew.quantity(5, when=when))
        assert (code, details["occupied"]) == ("seats_in_use", 7)
    assert (await crew.world.refuses(await crew.plan("solo_monthly")))[0] == "seats_in_use"
    assert (await crew.world.does(await crew.quantity(7)))["scheduled_change"]["quantity"] == 7


async def test_what_has_ended_or_is_overdue_is_not_changed(crew: Crew) -> None:
    await crew.begins()
    crew.saves("pm_card_chargeCustomerFail")
    await crew.reaches(FEBRUARY + timedelta(hours=2))
    code, details = await crew.world.refuses(await crew.quantity(4))
    assert (code, details) == ("subscription_not_active", {"status": "past_due"})


async def test_a_crash_between_stripe_and_us_is_finished_by_asking_again(crew: Crew) -> None:
    await crew.begins()
    await crew.reaches(MIDDLE)
    command = await crew.quantity(8, proration="invoice")
    crew.world.stand_in.goes_away_after(1)
    first = await crew.world.bound.handle(command, datetime.now(UTC))
    crew.world.stand_in.comes_back()
    assert first.status in ("succeeded", "failed")
    await crew.world.does(command)
    await crew.world.catches_up()
    assert bought(await crew.world.subscription()) == [("crew_volume", 8)]
    page = await crew.world.asks(m.ListInvoices(customer=ACME))
    assert [invoice["total"] for invoice in page["items"]] == [1700, 3000]


async def test_cancelling_at_the_periods_end_drops_what_was_scheduled(crew: Crew) -> None:
    await crew.begins()
    await crew.world.does(await crew.quantity(1))
    ending = m.CancelSubscription(
        command_id=crew.world.command_id(), subscription_id=await crew.id(), at="period_end"
    )
    result = await crew.world.does(ending)
    assert result["subscription"]["cancel_at_period_end"] is True
    assert result["subscription"]["scheduled_change"] is None
    code, details = await crew.world.refuses(await crew.quantity(1, when="period_end"))
    assert (code, details["cancel_at_period_end"]) == ("subscription_not_active", True)
    await crew.reaches(FEBRUARY + timedelta(hours=2))
    assert (await crew.world.subscription())["status"] == "canceled"


@pytest.mark.parametrize(
    ("price", "half_credit", "half_charge", "next_total"),
    [
        # 3 × ¥500 = 1500, 8 × ¥500 = 4000; half: -750 + 2000, and 4000 for February.
        ("yen_monthly", -750, 2000, 5250),
        # 3 × 1.500 KWD = 4500 fils, 8 × 1.500 = 12000; half: -2250 + 6000, and 12000.
        ("dinar_monthly", -2250, 6000, 15750),
    ],
)
async def test_currencies_without_cents_and_with_thousandths(
    crew: Crew, price: str, half_credit: int, half_charge: int, next_total: int
) -> None:
    await crew.begins(price, 3)
    await crew.reaches(MIDDLE)
    preview = await crew.preview(quantity=8)
    assert sorted(line["amount"] for line in preview["lines"] if line["proration"]) == [
        half_credit,
        half_charge,
    ]
    await crew.world.does(await crew.quantity(8))
    await crew.reaches(FEBRUARY + timedelta(hours=2))
    assert (await crew.newest_invoice())["total"] == next_total


async def test_the_upcoming_invoice_is_what_then_comes(crew: Crew) -> None:
    await crew.begins()
    await crew.reaches(MIDDLE)
    await crew.world.does(await crew.quantity(8))
    coming = (await crew.world.asks(m.UpcomingInvoice(customer=ACME)))["invoice"]
    assert (coming["total"], coming["amount_due"], coming["currency"]) == (8100, 8100, "eur")
    assert coming["subscription_id"] == await crew.id()
    assert coming["due_at"] == "2026-02-01T00:00:00Z"
    await crew.reaches(FEBRUARY + timedelta(hours=2))
    invoice = await crew.newest_invoice()
    assert sorted(amounts(invoice["lines"])) == sorted(amounts(coming["lines"]))


async def test_nothing_is_upcoming_for_who_pays_nothing(world: World) -> None:
    await world.register()
    outcome = await world.bound.handle(m.UpcomingInvoice(customer=ACME))
    assert outcome.error is not None
    assert outcome.error.code == "not_found"


async def test_a_preview_sees_past_what_is_scheduled(crew: Crew) -> None:
    # One seat is scheduled. Eight seats now: -15.00 + 32.00 and 64.00; two with the period: 20.00.
    await crew.begins()
    await crew.reaches(MIDDLE)
    await crew.world.does(await crew.quantity(1))
    now = await crew.preview(quantity=8)
    assert sorted(amounts(now["lines"])) == [-1500, 3200, 6400]
    assert (now["due_now"]["amount"], now["next_invoice"]["amount"]) == (0, 8100)
    assert now["lines"][-1]["period"] == {"start": "2026-02-01T00:00:00Z", "end": "2026-03-01T00:00:00Z"}
    at_once = await crew.preview(quantity=8, proration="invoice")
    assert (at_once["due_now"]["amount"], at_once["next_invoice"]["amount"]) == (1700, 6400)
    later = await crew.preview(quantity=2)
    assert (later["due_now"]["amount"], later["next_invoice"]["amount"]) == (0, 2000)
    back = await crew.preview(quantity=3)
    assert (back["due_now"]["amount"], back["next_invoice"]["amount"]) == (0, 3000)

    await crew.world.does(await crew.quantity(8))
    await crew.reaches(FEBRUARY + timedelta(hours=2))
    invoice = await crew.newest_invoice()
    assert sorted(map(str, told_lines(invoice["lines"]))) == sorted(map(str, told_lines(now["lines"])))


def told_lines(lines: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(line["description"], line["amount"], line["period"]) for line in lines]


async def test_a_preview_of_an_add_on_is_its_first_invoice(crew: Crew) -> None:
    await crew.begins()
    preview = await crew.preview(add_price="domain_yearly")
    assert (preview["due_now"]["amount"], preview["next_invoice"]["amount"]) == (1500, 1500)
    assert preview["lines"][0]["period"] == {"start": "2026-01-01T00:00:00Z", "end": "2027-01-01T00:00:00Z"}
    outcome = await crew.world.bound.handle(
        m.PreviewChange(subscription_id=await crew.id(), add_price="solo_monthly")
    )
    assert outcome.error is not None
    assert outcome.error.code == "unknown_price"


async def test_what_ended_in_stripe_unheard_is_not_changed(crew: Crew) -> None:
    mine = await crew.begins()
    crew.world.stripe.v1.subscriptions.cancel(mine["stripe_subscription_id"])
    code, details = await crew.world.refuses(await crew.quantity(4))
    assert (code, details) == ("subscription_not_active", {"status": "canceled"})


async def test_two_wishes_at_once_are_both_carried_out_and_the_last_one_stays(crew: Crew) -> None:
    await crew.begins()
    wishes = [await crew.quantity(quantity, when="period_end") for quantity in (1, 2)]
    outcomes = await asyncio.gather(*(crew.world.bound.handle(wish, datetime.now(UTC)) for wish in wishes))
    assert {outcome.status for outcome in outcomes} <= {"succeeded", "failed"}
    await crew.world.catches_up()
    waiting = (await crew.world.subscription())["scheduled_change"]["quantity"]
    await crew.reaches(FEBRUARY + timedelta(hours=2))
    assert bought(await crew.world.subscription()) == [("crew_volume", waiting)]


async def test_a_crash_in_the_middle_of_scheduling_is_finished_by_asking_again(crew: Crew) -> None:
    await crew.begins()
    command = await crew.quantity(1)
    crew.world.stand_in.goes_away_after(1)
    assert (await crew.world.bound.handle(command, datetime.now(UTC))).status == "failed"
    crew.world.stand_in.comes_back()
    await crew.world.catches_up()
    result = await crew.world.does(command)
    assert result["scheduled_change"]["quantity"] == 1
    assert await crew.world.names("subscription") == ["createdV1", "activatedV1", "changeScheduledV1"]
    schedules = crew.world.stripe.v1.subscription_schedules.list({"customer": crew.theirs}).data
    assert [(schedule.status, len(schedule.phases)) for schedule in schedules] == [("active", 2)]
    await crew.reaches(FEBRUARY + timedelta(hours=2))
    assert bought(await crew.world.subscription()) == [("crew_volume", 1)]
