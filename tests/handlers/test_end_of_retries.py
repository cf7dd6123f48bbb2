"""When retries are used up: canceled or unpaid, as configured, whatever Stripe's dashboard says."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from services.subscriptions.dunning.grace import Dunning
from tallystick.messages import subscriptions as m
from tests.handlers.conftest import OpenShop
from tests.handlers.subscription_world import ACME, World
from tests.support.stripe import SECRET_KEY

# The SDK's own way of calling httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
FEBRUARY = datetime(2026, 2, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LAST_ATTEMPT = FEBRUARY + HOUR + 15 * DAY
"""The stand-in tries again after 3, 5 and 7 days."""


class Debtor:
    """A customer on a test clock whose card is charged in January and fails from February on."""

    def __init__(self, world: World) -> None:
        self.world, self.stripe = world, world.stripe
        self.clock = self.customer_id = ""

    async def begins(self, dashboard: str, **fields: Any) -> None:
        self.sets(dashboard)
        clocks = self.stripe.v1.test_helpers.test_clocks
        self.clock = clocks.create({"frozen_time": int(JANUARY.timestamp())}).id
        theirs = self.stripe.v1.customers.create({"email": "pay@acme.example", "test_clock": self.clock})
        self.customer_id = theirs.id
        await self.world.register(stripe_customer_id=theirs.id)
        self.saves("pm_card_visa")
        items = [m.ItemToBuy(price="solo_monthly")]
        await self.world.does(
            m.CreateSubscription(command_id=self.world.command_id(), customer=ACME, items=items, **fields)
        )
        self.saves("pm_card_chargeCustomerFail")
        await self.world.catches_up()

    def sets(self, dashboard: str) -> None:
        """Say in Stripe's dashboard what becomes of who does not pay."""
        url = f"{self.world.stand_in.url}/_sandbox/billing_settings"
        answer = httpx.post(url, data={"failed_payments": dashboard}, auth=(SECRET_KEY, ""))
        assert answer.status_code == 200, answer.text

    def saves(self, card: str) -> None:
        method = self.stripe.v1.payment_methods.attach(card, {"customer": self.customer_id})
        default: Any = {"invoice_settings": {"default_payment_method": method.id}}
        self.stripe.v1.customers.update(self.customer_id, default)

    async def reaches(self, moment: datetime) -> None:
        """Let time pass, hear of it, and compare with Stripe."""
        params: Any = {"frozen_time": int(moment.timestamp())}
        self.stripe.v1.test_helpers.test_clocks.advance(self.clock, params)
        await self.world.catches_up()
        await self.world.bound.tick("sync_stripe", moment)
        await self.world.catches_up()

    async def status(self) -> str:
        return str((await self.world.subscription())["status"])

    def status_in_stripe(self) -> str:
        params: Any = {"customer": self.customer_id, "status": "all"}
        [found] = self.stripe.v1.subscriptions.list(params).data
        return str(found.status)


async def begin(open_shop: OpenShop, end_state: Any, dashboard: str, **fields: Any) -> Debtor:
    debtor = Debtor(await open_shop(dunning=Dunning(end_state=end_state)))
    await debtor.begins(dashboard, **fields)
    return debtor


@pytest.mark.parametrize(
    ("dashboard", "end_state", "ours", "theirs"),
    [
        ("cancel", None, "canceled", "canceled"),
        ("cancel", "unpaid", "canceled", "canceled"),
        ("unpaid", None, "unpaid", "unpaid"),
        ("unpaid", "canceled", "canceled", "canceled"),
        ("past_due", None, "past_due", "past_due"),
        ("past_due", "canceled", "canceled", "canceled"),
        ("past_due", "unpaid", "unpaid", "past_due"),
    ],
)
async def test_the_end_is_what_is_configured(
    open_shop: OpenShop, dashboard: str, end_state: str | None, ours: str, theirs: str
) -> None:
    debtor = await begin(open_shop, end_state, dashboard)

    for late in (FEBRUARY + 2 * HOUR, LAST_ATTEMPT - DAY):
        await debtor.reaches(late)
        assert (await debtor.status(), debtor.status_in_stripe()) == ("past_due", "past_due")
    await debtor.reaches(LAST_ATTEMPT + HOUR)

    assert (await debtor.status(), debtor.status_in_stripe()) == (ours, theirs)
    # 4900 in January; nothing that failed was collected in the end.
    charges = debtor.stripe.v1.charges.list({"customer": debtor.customer_id}).data
    assert [charge.amount for charge in charges if charge.status == "succeeded"] == [4900]
    told = len(await debtor.world.told("subscription"))
    await debtor.world.bound.tick("sync_stripe", LAST_ATTEMPT + DAY)
    assert len(await debtor.world.told("subscription")) == told


@pytest.mark.parametrize("dashboard", ["unpaid", "past_due"])
async def test_who_is_unpaid_has_nothing_until_they_pay(open_shop: OpenShop, dashboard: str) -> None:
    debtor = await begin(open_shop, "unpaid", dashboard)
    world = debtor.world
    await debtor.reaches(FEBRUARY + 2 * HOUR)
    assert (await world.allowed("hours"))["quantity"] == 5
    await debtor.reaches(LAST_ATTEMPT + HOUR)
    assert (await world.allowed("hours"))["allowed"] is False

    debtor.saves("pm_card_visa")
    [owed] = debtor.stripe.v1.invoices.list({"customer": debtor.customer_id, "status": "open"}).data
    debtor.stripe.v1.invoices.pay(owed.id)
    await world.catches_up()

    assert (await debtor.status(), debtor.status_in_stripe()) == ("active", "active")
    assert (await world.allowed("hours"))["quantity"] == 5
    assert (await world.names("subscription"))[-1] == "recoveredV1"


async def test_a_sent_invoice_is_given_up_thirty_days_after_it_was_due(open_shop: OpenShop) -> None:
    # Finalized an hour after 1 January, due 30 days later, given up 30 days after that: on 2 March.
    debtor = await begin(open_shop, "canceled", "past_due", collection="invoice")
    due = JANUARY + HOUR + 30 * DAY

    await debtor.reaches(due + HOUR)
    assert await debtor.status() == "past_due"
    await debtor.world.bound.tick("sync_stripe", due + 30 * DAY - HOUR)
    assert await debtor.status() == "past_due"
    await debtor.world.bound.tick("sync_stripe", due + 30 * DAY)

    assert (await debtor.status(), debtor.status_in_stripe()) == ("canceled", "canceled")
