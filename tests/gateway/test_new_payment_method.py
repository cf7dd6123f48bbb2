"""A new payment method on the portal pays what is open at once, and the page says so."""

import re

import pytest

from tallystick.messages import subscriptions as m
from tests.support.gateway import GatewaySystem
from tests.support.page_visitor import visiting
from tests.support.shop import FAILS_LATER_CARD, GOOD_CARD, Shop
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(180)
FAILS_AGAIN = "4000 0000 0000 0341"
"""Can be saved; every charge fails."""


async def test_the_portal_pays_what_is_open_and_a_second_decline_is_told(
    gateway: GatewaySystem, shop: Shop
) -> None:
    clock = await shop.on_a_clock()
    plan = await shop.buys("essential_monthly")
    customer = (await shop.billing.ask(m.GetCustomer(customer=shop.acme))).customer
    theirs = str(customer.stripe_customer_id)
    shop.saves_card(theirs, FAILS_LATER_CARD)
    # Checkout has pinned the card that was paid with.
    shop.stripe.v1.subscriptions.update(str(plan.stripe_subscription_id), {"default_payment_method": ""})
    shop.advance(clock, plan.current_period_end)
    await shop.becomes("past_due")
    async with visiting(gateway, shop.acme) as visitor:

        async def billing() -> str:
            return (await visitor.http.get("/billing")).text

        async def shows(text: str) -> bool:
            return text in await billing()

        assert await shows("what is open is then paid at once")
        form = await visitor.form("/billing", "/billing/portal")
        portal = (await visitor.send("/billing/portal", form)).headers["location"]
        await shop.page(portal, card_number=FAILS_AGAIN)
        await eventually(lambda: shows("Your new payment method was declined too"))
        assert await shows("Payment overdue")

        await shop.page(portal, card_number=GOOD_CARD)
        await shop.becomes("active")
        assert not await shows("was declined too")
        back = re.findall(r'href="([^"]*)">Back<', (await shop.browser.get(portal)).text)
        assert back == [f"{gateway.url}/billing?done=payment_method"]
        assert "is being paid with your new payment method" in (await visitor.http.get(back[0])).text
    charges = shop.stripe.v1.charges.list({"customer": theirs, "limit": 100}).data
    assert [charge.amount for charge in charges if charge.status == "succeeded"] == [4900, 4900]
