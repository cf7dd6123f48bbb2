"""A customer whose card fails from the second month on."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from services.subscriptions.dunning.grace import Dunning
from tallystick.messages import subscriptions as m
from tests.support.stripe import SECRET_KEY
from tests.support.worlds.subscriptions import ACME, OpenShop, World

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
        """Set in Stripe's dashboard what happens after failed payments."""
        url = f"{self.world.stand_in.url}/_sandbox/billing_settings"
        answer = httpx.post(url, data={"failed_payments": dashboard}, auth=(SECRET_KEY, ""))
        assert answer.status_code == 200, answer.text

    def saves(self, card: str) -> None:
        method = self.stripe.v1.payment_methods.attach(card, {"customer": self.customer_id})
        default: Any = {"invoice_settings": {"default_payment_method": method.id}}
        self.stripe.v1.customers.update(self.customer_id, default)

    async def reaches(self, moment: datetime) -> None:
        """Advance the clock, apply the events, and reconcile with Stripe."""
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
